import type { Command } from "commander";
import { realClock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { formatBytes, formatDuration } from "../../base/units.ts";
import { socketPathOf, type AnaxConfig } from "../../node/config.ts";
import type { Warmed } from "../../volume/lifecycle/warm-volume.ts";
import { Volumes } from "../../volume/lifecycle/volumes.ts";
import { PEER_WAIT_MS } from "../../volume/data/peers/peer-policy.ts";
import { durationOption } from "../options.ts";
import { printJson, printLine } from "../output.ts";
import { startProgress } from "../progress.ts";
import { settingsOf } from "../settings.ts";
import { adopted } from "./adopt.ts";
import { remoteOf, volumeCommand, type VolumeOptions } from "./options.ts";

interface WarmupOptions extends VolumeOptions {
  readonly there?: boolean;
  readonly endpoint?: string;
  readonly cacheDir?: string;
  readonly peerWait: number;
  readonly progress: boolean;
}

export function warmupCommand(): Command {
  return volumeCommand(
    "warmup <name> [path]",
    "Bring content of a volume in a bucket into this machine's cache, from peers where the volume asks them. A repetition goes on where one was ended.",
  )
    .option("--there", "with --server: into the cache of the machine of the service, and not of this one")
    .option("-e, --endpoint <socket>", "Unix socket of the daemon (default: from the settings)")
    .option("--cache-dir <dir>", "where its mounts keep blobs, if they are told so by -o cache_dir=")
    .option("--peer-wait <duration>", "what peers may always take before the store is asked for a blob, too", durationOption, PEER_WAIT_MS)
    .option("--no-progress", "show no progress")
    .action(async (name: string, path: string | undefined, { config, dataDir, ...options }: WarmupOptions) => {
      const settings = settingsOf({ set: {}, ...(config !== undefined && { config }), ...(dataDir !== undefined && { dataDir }) });
      const stop = new AbortController();
      const onSignal = (): void => stop.abort(new AnaxError("download.cancelled", { reason: "interrupted; run it again to go on" }));
      process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
      const startedMs = realClock.nowMs();
      const kind = options.progress ? (options.json === true ? "json" : process.stderr.isTTY ? "bar" : "none") : "none";
      const progress = await startProgress(kind, name, realClock);
      try {
        const warm = options.there === true ? warmerThere(options) : warmerHere(settings, options);
        const warmed = await warm({
          name,
          path: path ?? "/",
          signal: stop.signal,
          onProgress: ({ bytes, doneBytes, peerBytes, storeBytes }) =>
            progress.update({ totalBytes: bytes, doneBytes, fromPeersBytes: peerBytes, fromSourceBytes: storeBytes }),
        });
        const seconds = Number(((realClock.nowMs() - startedMs) / 1000).toFixed(3));
        progress.stop();
        if (options.json === true) return printJson({ event: "done", ...warmed, seconds });
        const { blobs, bytes, cachedBytes, peerBytes, storeBytes } = warmed;
        const where = options.there === true ? "there" : "here";
        const from = `${formatBytes(cachedBytes)} were ${where}, ${formatBytes(peerBytes)} from peers, ${formatBytes(storeBytes)} from the store`;
        printLine(`${formatBytes(bytes)} in ${blobs} blobs are ${where} after ${formatDuration(seconds * 1000)}: ${from}`);
      } finally {
        progress.stop(); // twice is once
        process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
      }
    });
}

interface Order {
  readonly name: string;
  readonly path: string;
  readonly signal: AbortSignal;
  readonly onProgress: (warmed: Warmed) => void;
}

type Warmer = (order: Order) => Promise<Warmed>;

/** This machine's cache, whoever told of the volume. */
const warmerHere =
  (settings: AnaxConfig, { endpoint, cacheDir, peerWait, ...options }: WarmupOptions): Warmer =>
  async ({ name, ...order }) => {
    const volumes = new Volumes(settings.dataDir, realClock);
    const remote = remoteOf(options);
    const known = remote === undefined ? name : (await adopted(volumes, remote, name)).uuid;
    const peers = { daemonSocket: endpoint ?? socketPathOf(settings), waitMs: peerWait };
    return volumes.warm(known, { ...order, peers, cacheDir });
  };

/** That of the machine of the service, through its daemon. */
const warmerThere =
  ({ endpoint, cacheDir, peerWait, ...options }: WarmupOptions): Warmer =>
  async ({ name, path, ...order }) => {
    const remote = remoteOf(options);
    if (remote === undefined) throw new AnaxError("input.invalid", { option: "--there", expected: "--server with it" });
    if (endpoint !== undefined || cacheDir !== undefined)
      throw new AnaxError("input.invalid", {
        option: endpoint === undefined ? "--cache-dir" : "--endpoint",
        reason: "the service has its own daemon and cache",
      });
    return remote.warm(name, { path, peerWaitMs: peerWait }, order);
  };
