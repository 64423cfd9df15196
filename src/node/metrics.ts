import type { MetricSpec } from "../base/metrics.ts";
import { KV_METRICS } from "../kv/info/metrics.ts";
import { DAEMON_METRICS } from "../p2p/daemon/metrics.ts";
import { MEMORY_METRICS } from "../p2p/daemon/memory/metrics.ts";
import { RATES_METRICS } from "../p2p/daemon/rates/metrics.ts";
import { TRANSFER_METRICS } from "../p2p/daemon/transfer/metrics.ts";
import { PIECES_METRICS } from "../p2p/pieces/metrics.ts";
import { PROXY_METRICS } from "../p2p/proxy/metrics.ts";
import { SCHEDULER_METRICS } from "../p2p/scheduler/metrics.ts";
import { SOURCE_METRICS } from "../p2p/source/metrics.ts";
import { MOUNT_METRICS } from "../volume/mount/metrics.ts";
import { S3_METRICS } from "../volume/s3/metrics.ts";
import { SERVICE_METRICS } from "../volume/service/metrics.ts";

/** The metrics of every room, for the reference. */
export const ALL_METRICS: readonly Readonly<Record<string, MetricSpec>>[] = [
  DAEMON_METRICS,
  TRANSFER_METRICS,
  RATES_METRICS,
  MEMORY_METRICS,
  PIECES_METRICS,
  PROXY_METRICS,
  SCHEDULER_METRICS,
  SOURCE_METRICS,
  KV_METRICS,
  S3_METRICS,
  MOUNT_METRICS,
  SERVICE_METRICS,
];
