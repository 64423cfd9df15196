import { Command } from "commander";
import { countOption } from "../options.ts";
import { serve, withServe, type ServeOptions } from "../serve.ts";

interface ServeS3Options extends ServeOptions {
  readonly port?: number;
  readonly bind?: string;
}

export function serveS3Command(): Command {
  return withServe(new Command("serve-s3"))
    .description("Serve the volumes of the data directory over S3, each as a bucket, until SIGTERM.")
    .option("--port <port>", "TCP port; 0 takes a free one (default: 9000)", countOption)
    .option("--bind <address>", "address that it listens on (default: 127.0.0.1)")
    .action(async ({ port, bind, ...options }: ServeS3Options) => {
      await serve(
        options,
        { scheduler: false, daemon: false, store: false, s3: true },
        { "volume.s3.port": port, "volume.s3.listenHost": bind },
      );
    });
}
