import { Command } from "commander";
import { stringify } from "yaml";
import { describeSettings, jsonSchemaOf, withoutSecrets } from "../../base/config.ts";
import { AnaxConfig } from "../../node/config.ts";
import { printJson, printLine } from "../output.ts";
import { withSettings, type SettingOptions } from "../options.ts";
import { settingsOf } from "../settings.ts";

interface ConfigOptions extends SettingOptions {
  readonly json?: boolean;
  readonly validate?: boolean;
  readonly helpAll?: boolean;
  readonly schema?: boolean;
}

/** `anax config`, `anax config --validate`, and `--help`, which describes every setting. */
export function command(): Command {
  return withSettings(new Command("config"))
    .description("Print the settings in force, from flags over environment over file over defaults. Secrets are masked.")
    .option("--validate", "only check them; exit code 2 and every problem when they are wrong")
    .option("--help-all", "describe every setting, its default and its environment name")
    .option("--schema", "print the JSON schema, for editors")
    .option("--json", "JSON instead of YAML")
    .addHelpText("after", () => `\n${settingsHelp()}`)
    .action((options: ConfigOptions) => {
      if (options.helpAll === true) return printLine(settingsHelp());
      if (options.schema === true) return printJson(jsonSchemaOf(AnaxConfig));
      const settings = withoutSecrets(AnaxConfig, settingsOf(options));
      if (options.validate === true) return options.json === true ? printJson({ valid: true }) : printLine("The settings are valid.");
      if (options.json === true) printJson(settings);
      else printLine(stringify(settings).trimEnd());
    });
}

function settingsHelp(): string {
  const lines = describeSettings(AnaxConfig).map(
    ({ path, env, type, default: value, description, formerly }) =>
      `  ${path}${value === undefined ? "" : ` = ${typeof value === "string" ? value : JSON.stringify(value)}`}\n      ${description}\n      ${type}; ${env}${formerly === undefined ? "" : `; also ${formerly}`}`,
  );
  return `Settings:\n${lines.join("\n")}`;
}
