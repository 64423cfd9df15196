import { Command } from "commander";
import { countOption } from "../options.ts";
import { serve, withServe, type ServeOptions } from "../serve.ts";

export function command(): Command {
  return withServe(new Command("scheduler"))
    .description("Run a scheduler. Several share the tasks by consistent hashing; daemons are told all of them.")
    .option("--port <port>", "gRPC port (default: 8002)", countOption)
    .action(async (options: ServeOptions & { readonly port?: number }) => {
      await serve(options, { scheduler: true, daemon: false, store: false }, { "scheduler.port": options.port });
    });
}
