import { loadAnaxConfig, type AnaxConfig } from "../node/config.ts";
import { settingsFile } from "../node/paths.ts";
import type { SettingOptions } from "./options.ts";

/** Apart from `options.ts`, since the schemas of all settings take longer to load than most commands take to run. */
export function settingsOf(
  options: SettingOptions,
  more: { readonly flags?: Readonly<Record<string, unknown>>; readonly defaults?: Readonly<Record<string, unknown>> } = {},
): AnaxConfig {
  return loadAnaxConfig({
    file: settingsFile(options.config, process.env),
    env: process.env,
    texts: options.set,
    flags: { dataDir: options.dataDir, logLevel: options.logLevel, ...more.flags },
    defaults: more.defaults ?? {},
  });
}
