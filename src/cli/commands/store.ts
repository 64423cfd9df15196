import { Command, Option } from "commander";
import { resolve } from "node:path";
import { countOption, pairOption } from "../options.ts";
import { serve } from "../serve.ts";

interface StoreCommandOptions {
  readonly port?: number;
  readonly bind?: string;
  readonly config?: string;
  readonly set: Readonly<Record<string, string>>;
  readonly dataDir?: string;
  readonly logLevel?: string;
  readonly json?: boolean;
}

export function command(): Command {
  return new Command("store")
    .description("Run the Redis-compatible store. It speaks RESP2 and RESP3; parameters are those of redis.conf.")
    .option("--port <port>", "TCP port; 0 takes a free one (default: 6379)", countOption)
    .option("--bind <address>", "address that it listens on (default: 127.0.0.1)")
    .option("-c, --config <file>", "a redis.conf; settings of Anax itself come from ANAX_CONFIG and the environment")
    .option("--set <name=value>", "set one parameter of redis.conf, e.g. maxmemory=1gb (repeatable; wins over the file)", pairOption, {})
    .option("--data-dir <dir>", "where everything that must survive is kept")
    .addOption(new Option("--log-level <level>", "what is logged").choices(["error", "warn", "info", "debug", "silent"]))
    .option("--json", "print one JSON line when ready, instead of a table")
    .action(async ({ port, bind, config, set, dataDir, logLevel, json }: StoreCommandOptions) => {
      const shared = {
        set: {},
        ...(dataDir !== undefined && { dataDir }),
        ...(logLevel !== undefined && { logLevel }),
        json: json === true,
      };
      await serve(
        shared,
        { scheduler: false, daemon: false, store: true },
        {
          "store.port": port,
          "store.listenHost": bind,
          "store.configFile": config === undefined ? undefined : resolve(config),
          ...(Object.keys(set).length > 0 && { "store.parameters": set }),
        },
      );
    });
}
