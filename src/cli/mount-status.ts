import { isoText, realClock } from "../base/clock.ts";
import { AnaxError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { VERSION } from "../base/version.ts";
import { serveMountMetrics } from "../volume/mount/metrics.ts";
import { MountMeter } from "../volume/mount/mount-meter.ts";
import type { MountReady } from "../volume/mount/supervisor.ts";

const SEEN_MS = 10_000;

/** Where a mount tells how it is. */
export interface MountStatus extends AsyncDisposable {
  /** As `http://host:port`. */
  readonly address: string;
  readonly meter: MountMeter;
  /** It is mounted. */
  ready(facts: MountReady): void;
}

/** Pages of one mount, as those of the other services. Throws `listen.*`. */
export async function startMountStatus(listen: { readonly host: string; readonly port: number }, log: Log): Promise<MountStatus> {
  // Most mounts have none.
  const [{ createRegistry }, { startStatusServer }] = await Promise.all([import("../base/metrics.ts"), import("../node/status-server.ts")]);
  const registry = createRegistry({ runtime: true });
  const meter = new MountMeter();
  serveMountMetrics(registry, () => meter.figures);
  let mounted: MountReady | undefined;
  const startedAt = isoText(realClock.wallMs());
  const part = (): { readonly name: string; readonly state: "ok" | "waiting" | "failed"; readonly detail: string } => {
    if (mounted === undefined) return { name: "mount", state: "waiting", detail: "not yet" };
    const silentMs = realClock.nowMs() - meter.heardMs;
    if (silentMs > SEEN_MS) return { name: "mount", state: "failed", detail: `no sign of life for ${Math.round(silentMs / 1000)} s` };
    return { name: "mount", state: "ok", detail: mounted.dir };
  };
  const server = await startStatusServer(
    listen,
    {
      registry,
      live: () => ({ holds: true, parts: [] }), // the supervisor itself mends what is wrong
      ready: () => ({ holds: part().state === "ok", parts: [part()] }),
      status: () => ({ version: VERSION, pid: process.pid, startedAt, mount: mounted && { ...mounted, mountPid: meter.pid } }),
    },
    log,
  );
  return {
    address: server.address,
    meter,
    ready: (facts) => void (mounted = facts),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** `9004`, `host:9004`, `[::1]:9004`. Throws `input.invalid`. */
export function statusAddressOf(text: string): { readonly host: string; readonly port: number } {
  const {
    six,
    host = "127.0.0.1",
    port = "",
  } = /^(?:(?:\[(?<six>[0-9a-fA-F:.]+)\]|(?<host>[^:[\]/\s]+)):)?(?<port>\d{1,5})$/.exec(text)?.groups ?? {};
  if (port === "" || Number(port) > 65_535) throw new AnaxError("input.invalid", { option: "--status", expected: "port or host:port" });
  return { host: six ?? host, port: Number(port) };
}
