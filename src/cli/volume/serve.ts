import { Command } from "commander";
import { countOption } from "../options.ts";
import { serve, withServe, type ServeOptions } from "../serve.ts";

interface ServeVolumesOptions extends ServeOptions {
  readonly port?: number;
  readonly bind?: string;
}

export function serveCommand(): Command {
  return withServe(new Command("serve"))
    .description("Let `anax volume … --server` of other machines work on the volumes of the data directory, until SIGTERM.")
    .option("--port <port>", "TCP port; 0 takes a free one (default: 9002)", countOption)
    .option(
      "--bind <address>",
      "address that it listens on; others than this machine's need volume.service.tlsCertFile (default: 127.0.0.1)",
    )
    .action(async ({ port, bind, ...options }: ServeVolumesOptions) => {
      await serve(
        options,
        { scheduler: false, daemon: false, store: false, volumes: true },
        { "volume.service.port": port, "volume.service.listenHost": bind },
      );
    });
}
