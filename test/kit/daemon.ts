import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realClock } from "../../src/base/clock.ts";
import { AnaxError } from "../../src/base/errors.ts";
import { createLog, silentLog, type Log } from "../../src/base/log.ts";
import { createRegistry, type Registry } from "../../src/base/metrics.ts";
import { createRandom } from "../../src/base/random.ts";
import { DaemonConfig } from "../../src/p2p/daemon/config.ts";
import { DiskThread } from "../../src/disk/disk-thread.ts";
import { loadNativeSocket } from "../../src/disk/native-socket.ts";
import { createDaemon, type Daemon } from "../../src/p2p/daemon/daemon.ts";
import { MeshConfig } from "../../src/p2p/daemon/mesh/config.ts";
import { TransferConfig } from "../../src/p2p/daemon/transfer/config.ts";
import { RatesConfig } from "../../src/p2p/daemon/rates/config.ts";
import { startRates } from "../../src/p2p/daemon/rates/rates.ts";
import { transferMetricsOf } from "../../src/p2p/daemon/transfer/metrics.ts";
import { createPieceClient } from "../../src/p2p/daemon/transfer/piece-client.ts";
import { startPieceServer, type BlockHandover } from "../../src/p2p/daemon/transfer/piece-server.ts";
import type { Download, DownloadRequest } from "../../src/p2p/daemon/types.ts";
import { PiecesConfig } from "../../src/p2p/pieces/config.ts";
import { openPieceStore } from "../../src/p2p/pieces/store.ts";
import type { PieceStore } from "../../src/p2p/pieces/types.ts";
import { SchedulerConfig } from "../../src/p2p/scheduler/config.ts";
import { createScheduler, type Scheduler } from "../../src/p2p/scheduler/start.ts";
import { openChannel, type GrpcChannel } from "../../src/wire/grpc/client.ts";
import { GrpcServer } from "../../src/wire/grpc/server.ts";
import { aMemoryBudget } from "./memory.ts";
import { aSources } from "./sources.ts";

// Real daemons and schedulers inside the process of a test: real sockets on free ports, real files, real time.

const clock = realClock;
const log: Log = process.env["ANAX_TEST_LOG"] === undefined ? silentLog : createLog("debug");

export interface TestScheduler extends AsyncDisposable {
  /** host:port */
  readonly address: string;
  readonly scheduler: Scheduler;
}

export async function startTestScheduler(settings: Readonly<Record<string, unknown>> = {}, port = 0): Promise<TestScheduler> {
  await using owned = new AsyncDisposableStack();
  const config = SchedulerConfig.parse({ settleMs: "0ms", ...settings });
  const registry = createRegistry({ runtime: false });
  const scheduler = owned.use(
    createScheduler({ config, clock, log: log.child({ role: "scheduler" }), registry, schedulerId: "test", version: "0" }),
  );
  const server = owned.use(
    await GrpcServer.start({
      listen: [{ host: "127.0.0.1", port }],
      services: scheduler.services,
      clock,
      onError: reported,
      drainTimeoutMs: 100,
    }),
  );
  const all = owned.move();
  return { address: `127.0.0.1:${portOf(server)}`, scheduler, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

export interface TestDaemon extends AsyncDisposable {
  readonly daemon: Daemon;
  readonly store: PieceStore;
  readonly registry: Registry;
  readonly dir: string;
  readonly socketPath: string;
  readonly uploadPort: number;
  readonly transferPort: number;
  /** To the Unix socket. */
  readonly channel: GrpcChannel;
  /** To the service for other peers. */
  readonly upload: GrpcChannel;
}

export interface TestDaemonOptions {
  readonly name: string;
  readonly schedulers?: readonly string[];
  readonly seed?: boolean;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly pieces?: Readonly<Record<string, unknown>>;
  readonly mesh?: Readonly<Record<string, unknown>>;
  readonly rates?: Readonly<Record<string, unknown>>;
  readonly memory?: { readonly totalBytes?: number; readonly config?: Readonly<Record<string, unknown>> };
  /** Keeps the data directory of an earlier one. */
  readonly dir?: string;
}

export async function startTestDaemon(options: TestDaemonOptions): Promise<TestDaemon> {
  await using owned = new AsyncDisposableStack();
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), `anax-${options.name}-`)));
  if (options.dir === undefined) owned.defer(() => rm(dir, { recursive: true, force: true }));
  const registry = createRegistry({ runtime: false });
  const named = log.child({ daemon: options.name });
  const config = DaemonConfig.parse({
    hostname: options.name,
    advertiseIp: "127.0.0.1",
    listenHost: "127.0.0.1",
    uploadPort: 0,
    transferPort: 0,
    seed: options.seed ?? false,
    schedulers: options.schedulers ?? [],
    ...options.config,
  });
  const disk = owned.use(new DiskThread(clock));
  const store = owned.use(
    await openPieceStore({
      disk,
      dir: join(dir, "store"),
      config: PiecesConfig.parse(options.pieces ?? {}),
      clock,
      log: named,
      metrics: registry,
    }),
  );
  const sources = owned.use(aSources({}, clock, disk));
  const rates = owned.use(startRates({ config: RatesConfig.parse(options.rates ?? {}), clock, registry }));
  const transfer = { config: TransferConfig.parse({}), clock, log: named, metrics: transferMetricsOf(registry), limits: rates };
  const pieceClient = owned.use(createPieceClient(transfer));
  let made: Daemon | undefined;
  const blocks: BlockHandover = (connection) => made?.blocks?.(connection);
  const pieceServer = owned.use(await startPieceServer({ ...transfer, host: "127.0.0.1", port: 0, store, blocks }));
  const daemon = (made = createDaemon({
    config,
    mesh: MeshConfig.parse(options.mesh ?? {}),
    store,
    sources,
    pieceClient,
    rates,
    memory: aMemoryBudget({ ...options.memory, registry }),
    native: await loadNativeSocket(),
    clock,
    random: createRandom(),
    log: named,
    registry,
    version: "0.0.0-test",
    dataDir: dir,
    uploads: () => ({ uploadsInFlight: pieceServer.uploadsInFlight, uploadSlots: 64 }),
    listeners: () => [],
  }));
  const socketPath = join(dir, "d.sock");
  const serving = { clock, onError: reported, drainTimeoutMs: 200 };
  const upload = owned.use(
    await GrpcServer.start({ ...serving, listen: [{ host: "127.0.0.1", port: 0 }], services: daemon.uploadServices }),
  );
  owned.use(await GrpcServer.start({ ...serving, listen: [{ path: socketPath }], services: daemon.localServices }));
  owned.use(daemon);
  daemon.join({ uploadPort: portOf(upload), transferPort: pieceServer.port });
  const channel = owned.use(openChannel({ path: socketPath }, { clock, receiveBytesMax: 80 * 1024 * 1024 }));
  const toUpload = owned.use(openChannel({ host: "127.0.0.1", port: portOf(upload) }, { clock }));
  const all = owned.move();
  return {
    daemon,
    store,
    registry,
    dir,
    socketPath,
    uploadPort: portOf(upload),
    transferPort: pieceServer.port,
    channel,
    upload: toUpload,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

export function aDownload(url: string, more: Partial<DownloadRequest> = {}): DownloadRequest {
  return {
    url,
    filteredQueryParams: [],
    requestHeader: {},
    taskIdFromBlobDigest: false,
    priority: 0,
    disableBackToSource: false,
    needBackToSource: false,
    timeoutMs: 60_000,
    ...more,
  };
}

const reported = (): void => undefined;

function portOf(server: GrpcServer): number {
  const [address] = server.addresses;
  if (address === undefined || "path" in address) throw new Error("not a TCP server");
  return address.port;
}

/** Waits for a download and gives the digest of the file on disk. */
export async function sha256Of(download: Download): Promise<string> {
  await download.done;
  const stored = await download.stored;
  return createHash("sha256")
    .update(await readFile(stored.path))
    .digest("hex");
}

/** The code with which something fails; "none" when it does not. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "none",
    (thrown: unknown) => (thrown instanceof AnaxError ? thrown.code : String(thrown)),
  );
}

/** Waits until all of a daemon's schedulers have welcomed it. */
export async function attached(daemon: TestDaemon): Promise<void> {
  await until(() => daemon.daemon.schedulers.every(({ state }) => state === "ours"));
}

/** Looks again and again, for ten seconds at most. */
export async function until(holds: () => boolean): Promise<void> {
  using deadline = clock.deadline(10_000);
  while (!holds()) await clock.sleep(5, deadline.signal);
}
