import { Command } from "commander";
import { serve, withServe, type ServeOptions } from "../serve.ts";

export function command(): Command {
  return withServe(new Command("up"))
    .description("Run everything in one process: a scheduler, a seed daemon and the proxy. Needs no settings and nothing else installed.")
    .action(async (options: ServeOptions) => {
      await serve(
        options,
        { scheduler: true, daemon: true, store: "if enabled", s3: "if enabled", volumes: "if enabled" },
        { "p2p.daemon.seed": true },
      );
    });
}
