import { Command, Option } from "commander";
import { AnaxError } from "../../base/errors.ts";
import { collect, countOption, durationOption, pieceLengthOption } from "../options.ts";
import { withDaemon, withEndpoint, type EndpointOptions } from "../connect.ts";
import type { GetOptions } from "../get/request.ts";

export type GetAction = (url: string, options: GetOptions & EndpointOptions) => Promise<void>;

/** `anax get`: the flags of Dragonfly's dfget, environment names included. */
export function command(action: GetAction = run): Command {
  const get = withEndpoint(new Command("get"))
    .description("Download a file, or with --recursive a directory, through the local daemon.")
    .argument("<url>", "http://, https://, s3:// or file://")
    .requiredOption("-O, --output <path>", "where the content goes; - is standard output")
    .addOption(flag("--overwrite", "replace what is at the output path", "OVERWRITE"))
    .addOption(flag("--force-hard-link", "fail instead of copying when the output cannot be a hard link", "FORCE_HARD_LINK"))
    .addOption(
      flag(
        "--transfer-from-daemon",
        "send the content through the socket instead of letting the daemon write the output (automatic when it runs as another user)",
        "TRANSFER_FROM_DFDAEMON",
      ),
    )
    .addOption(new Option("--transfer-from-dfdaemon", "the same, by its name in dfget").hideHelp())
    .option("-d, --digest <algorithm:hex>", "what the content must hash to: sha256:…, sha512:… or crc32:…")
    .option("--range <bytes>", "only this part: 0-1023 (both included), 1024- (to the end) or -512 (the last bytes)")
    .option("-H, --header <line>", "HTTP header for the source, e.g. 'Authorization: Bearer x' (repeatable)", collect, [])
    .addOption(new Option("--tag <text>", "separates tasks of the same URL").env("DFGET_TAG"))
    .addOption(new Option("--application <name>", "separates tasks of the same URL").env("DFGET_APPLICATION"))
    .option("--filtered-query-param <name>", "query parameter that does not count for the task's name (repeatable)", collect, [])
    .addOption(
      new Option("--piece-length <size>", "bytes per piece, at least 4MiB; it is part of the task's name (default: from the length)")
        .env("DFGET_PIECE_LENGTH")
        .argParser(pieceLengthOption),
    )
    .addOption(
      new Option("--content-for-calculating-task-id <text>", "names the task instead of URL, tag and application").env(
        "DFGET_CONTENT_FOR_CALCULATING_TASK_ID",
      ),
    )
    .addOption(
      new Option("--timeout <duration>", "give up after this long").env("DFGET_TIMEOUT").argParser(durationOption).default(7_200_000, "2h"),
    )
    .addOption(
      new Option("--reconnect-timeout <duration>", "wait so long for a daemon that dies or is restarted meanwhile; 0s: fail at once")
        .env("DFGET_RECONNECT_TIMEOUT")
        .argParser(durationOption)
        .default(30_000, "30s"),
    )
    .addOption(new Option("-p, --priority <level>", "0 to 6; as in Dragonfly").env("DFGET_PRIORITY").argParser(countOption).default(6))
    .addOption(flag("--disable-back-to-source", "only peers may be asked", "DISABLE_BACK_TO_SOURCE"))
    .option("-r, --recursive", "download everything below the URL (sources that can list: s3, file)")
    .option("-I, --include-files <glob>", "with --recursive: only paths that match (repeatable)", collect, [])
    .addOption(
      new Option("--max-files <count>", "with --recursive: refuse more files than this")
        .env("DFGET_MAX_FILES")
        .argParser(countOption)
        .default(100_000),
    )
    .addOption(
      new Option("--max-concurrent-requests <count>", "with --recursive: files at a time")
        .env("DFGET_MAX_CONCURRENT_REQUESTS")
        .argParser(countOption)
        .default(32),
    )
    .addOption(new Option("--storage-region <name>", "region of the object store").env("DFGET_STORAGE_REGION"))
    .addOption(new Option("--storage-endpoint <url>", "endpoint of the object store").env("DFGET_STORAGE_ENDPOINT"))
    .addOption(new Option("--storage-access-key-id <id>", "access key of the object store").env("DFGET_STORAGE_ACCESS_KEY_ID"))
    .addOption(new Option("--storage-access-key-secret <secret>", "better given by the environment").env("DFGET_STORAGE_ACCESS_KEY_SECRET"))
    .addOption(new Option("--storage-session-token <token>", "session token of the object store").env("DFGET_STORAGE_SESSION_TOKEN"))
    .addOption(flag("--no-progress", "show nothing while it goes on", undefined))
    .option("--json", "JSON lines, also on a terminal");
  return get.action(action);
}

async function run(url: string, options: GetOptions & EndpointOptions): Promise<void> {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(url)) throw new AnaxError("input.invalid", { url, expected: "scheme://…" });
  const stop = new AbortController();
  const onSignal = (): void => stop.abort(new AnaxError("download.cancelled", { url }));
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  try {
    await withDaemon(options, async (daemon) => {
      const get =
        options.recursive === true ? (await import("../get/directory.ts")).getDirectory : (await import("../get/file.ts")).getFile;
      await get(daemon, url, options, stop.signal);
    });
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  }
}

function flag(name: string, text: string, env: string | undefined): Option {
  const option = new Option(name, text);
  return env === undefined ? option : option.env(`DFGET_${env}`);
}
