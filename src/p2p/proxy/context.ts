import type { BufferPool } from "../../base/buffer-pool.ts";
import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { NativeSocket } from "../../disk/native-socket.ts";
import type { Downloads } from "../daemon/types.ts";
import type { AccessChecks } from "./access.ts";
import type { ProxyConfig } from "./config.ts";
import type { Logins } from "./login.ts";
import type { Loops } from "./loops.ts";
import type { ManifestCache } from "./manifest-cache.ts";
import type { ProxyMetrics } from "./metrics.ts";
import type { Origins } from "./origin.ts";
import type { OutputWriter } from "./output.ts";
import type { Prefetches } from "./prefetch.ts";
import type { Registries } from "./registries.ts";
import type { Rules } from "./rules.ts";

/** Everything that answering a request needs; made once per proxy. */
export interface ProxyContext {
  readonly config: ProxyConfig;
  readonly downloads: Downloads;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ProxyMetrics;
  readonly hostIp: string;
  readonly buffers: BufferPool;
  readonly native: NativeSocket | undefined;
  readonly origins: Origins;
  readonly registries: Registries;
  readonly access: AccessChecks;
  readonly logins: Logins;
  readonly loops: Loops;
  readonly manifests: ManifestCache;
  readonly outputs: OutputWriter;
  readonly prefetches: Prefetches;
  readonly rules: Rules;
}
