import type { Command } from "commander";
import { realClock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { formatBytes, formatDuration } from "../../base/units.ts";
import { socketPathOf } from "../../node/config.ts";
import { Volumes } from "../../volume/lifecycle/volumes.ts";
import { PEER_WAIT_MS } from "../../volume/data/peers/peer-policy.ts";
import { durationOption } from "../options.ts";
import { printJson, printLine } from "../output.ts";
import { startProgress } from "../progress.ts";
import { settingsOf } from "../settings.ts";
import { hereCommand, type VolumeOptions } from "./options.ts";

interface WarmupOptions extends VolumeOptions {
  readonly endpoint?: string;
  readonly cacheDir?: string;
  readonly peerWait: number;
  readonly progress: boolean;
}

export function warmupCommand(): Command {
  return hereCommand(
    "warmup <name> [path]",
    "Bring content of a volume in a bucket into this machine's cache, from peers where the volume asks them. A repetition goes on where one was ended.",
  )
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
        const warmed = await new Volumes(settings.dataDir, realClock).warm(name, {
          path: path ?? "/",
          peers: { daemonSocket: options.endpoint ?? socketPathOf(settings), waitMs: options.peerWait },
          cacheDir: options.cacheDir,
          signal: stop.signal,
          onProgress: ({ bytes, doneBytes, peerBytes, storeBytes }) =>
            progress.update({ totalBytes: bytes, doneBytes, fromPeersBytes: peerBytes, fromSourceBytes: storeBytes }),
        });
        const seconds = Number(((realClock.nowMs() - startedMs) / 1000).toFixed(3));
        progress.stop();
        if (options.json === true) return printJson({ event: "done", ...warmed, seconds });
        const { blobs, bytes, cachedBytes, peerBytes, storeBytes } = warmed;
        const from = `${formatBytes(cachedBytes)} were here, ${formatBytes(peerBytes)} from peers, ${formatBytes(storeBytes)} from the store`;
        printLine(`${formatBytes(bytes)} in ${blobs} blobs are here after ${formatDuration(seconds * 1000)}: ${from}`);
      } finally {
        progress.stop(); // twice is once
        process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
      }
    });
}
