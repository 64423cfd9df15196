import { Command } from "commander";
import { collect } from "../options.ts";
import { serve, withServe, type ServeOptions } from "../serve.ts";

interface DaemonOptions extends ServeOptions {
  readonly seed?: boolean;
  readonly scheduler: readonly string[];
  readonly hostname?: string;
  readonly advertiseIp?: string;
}

export function command(): Command {
  return withServe(new Command("daemon"))
    .description("Run a daemon: downloads, uploads, registry mirror and proxy. Without a scheduler it works alone.")
    .option("--seed", "read sources on behalf of the others and keep content for them")
    .option("--scheduler <host:port>", "a scheduler of the cluster (repeatable)", collect, [])
    .option("--hostname <name>", "name of this machine in the cluster (default: the system's)")
    .option("--advertise-ip <address>", "address that others reach this machine by")
    .action(async (options: DaemonOptions) => {
      const flags = {
        "p2p.daemon.seed": options.seed,
        "p2p.daemon.schedulers": options.scheduler.length === 0 ? undefined : options.scheduler,
        "p2p.daemon.hostname": options.hostname,
        "p2p.daemon.advertiseIp": options.advertiseIp,
      };
      await serve(options, { scheduler: false, daemon: true, store: false }, flags);
    });
}
