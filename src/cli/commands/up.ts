import { Command } from "commander";
import { settingsOf } from "../options.ts";
import { serve, withServe, type ServeOptions } from "../serve.ts";

export function command(): Command {
  return withServe(new Command("up"))
    .description("Run everything in one process: a scheduler, a seed daemon and the proxy. Needs no settings and nothing else installed.")
    .action(async (options: ServeOptions) => {
      const config = settingsOf(options, { "p2p.daemon.seed": true });
      await serve(config, { scheduler: true, daemon: true }, options.json === true);
    });
}
