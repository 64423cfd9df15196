import { z } from "zod";
import { loadSettings, type SettingSources } from "../base/config.ts";
import { StoreConfig } from "../kv/config.ts";
import { DaemonConfig } from "../p2p/daemon/config.ts";
import { MemoryConfig } from "../p2p/daemon/memory/config.ts";
import { MeshConfig } from "../p2p/daemon/mesh/config.ts";
import { RatesConfig } from "../p2p/daemon/rates/config.ts";
import { TransferConfig } from "../p2p/daemon/transfer/config.ts";
import { PiecesConfig } from "../p2p/pieces/config.ts";
import { ProxyConfig } from "../p2p/proxy/config.ts";
import { SchedulerConfig } from "../p2p/scheduler/config.ts";
import { SourceConfig } from "../p2p/source/config.ts";
import { S3Config } from "../volume/s3/config.ts";
import { VolumeServiceConfig } from "../volume/service/config.ts";
import { InUseConfig } from "./in-use/config.ts";
import { defaultDataDir, socketIn } from "./paths.ts";

const port = (fallback: number) => z.int().min(0).max(65_535).default(fallback);

/** Every setting of Anax. Rooms declare their own; this joins them. */
export const AnaxConfig = z.strictObject({
  dataDir: z
    .string()
    .startsWith("/", "expected an absolute path")
    .optional()
    .describe(
      "Where everything that must survive is kept. Default: /var/lib/anax for root, else anax below XDG_DATA_HOME or ~/.local/share.",
    ),
  logLevel: z
    .enum(["error", "warn", "info", "debug", "silent"])
    .default("info")
    .describe("What is logged, as JSON lines on standard error. Where that is a terminal and nothing is set, only warnings."),
  status: z
    .strictObject({
      listenHost: z.string().default("127.0.0.1").describe("Address of the status pages: /, /metrics, /healthz and /readyz."),
      port: port(4002).describe("Port of the status pages of a daemon, or of everything in one process; 0 takes a free one."),
      schedulerPort: port(8000).describe("Port of the status pages of a scheduler that runs alone."),
      storePort: port(9121).describe("Port of the status pages of a store that runs alone, where redis_exporter would serve them."),
      s3Port: port(9001).describe("Port of the status pages of an S3 gateway that runs alone."),
      volumePort: port(9003).describe("Port of the status pages of a service for volumes that runs alone."),
    })
    .prefault({}),
  scheduler: z
    .strictObject({
      listenHost: z.string().default("0.0.0.0").describe("Address that the scheduler listens on."),
      port: port(8002).describe("gRPC port of the scheduler; 0 takes a free one."),
    })
    .prefault({}),
  store: StoreConfig.prefault({}),
  volume: z.strictObject({ s3: S3Config.prefault({}), service: VolumeServiceConfig.prefault({}) }).prefault({}),
  p2p: z
    .strictObject({
      scheduler: SchedulerConfig.prefault({}),
      daemon: DaemonConfig.prefault({}),
      pieces: PiecesConfig.prefault({}),
      inUse: InUseConfig.prefault({}),
      transfer: TransferConfig.prefault({}),
      mesh: MeshConfig.prefault({}),
      memory: MemoryConfig.prefault({}),
      rates: RatesConfig.prefault({}),
      source: SourceConfig.prefault({}),
      proxy: ProxyConfig.prefault({}),
    })
    .prefault({}),
});
type Settings = z.output<typeof AnaxConfig>;
export type AnaxConfig = Settings & { readonly dataDir: string };

/** Settings with the place for data filled in. Throws `config.invalid`, `config.unreadable`. */
export function loadAnaxConfig(sources: SettingSources): AnaxConfig {
  const settings = loadSettings(AnaxConfig, sources);
  return Object.freeze({ ...settings, dataDir: settings.dataDir ?? defaultDataDir(sources.env) });
}

export const socketPathOf = (config: AnaxConfig): string => config.p2p.daemon.socketPath ?? socketIn(config.dataDir);
