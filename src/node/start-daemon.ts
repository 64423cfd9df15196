import { chmod, mkdir } from "node:fs/promises";
import { totalmem } from "node:os";
import { dirname, join } from "node:path";
import { AnaxError, errorOf } from "../base/errors.ts";
import { BufferPool } from "../base/buffer-pool.ts";
import { realClock } from "../base/clock.ts";
import { createRandom } from "../base/random.ts";
import { VERSION } from "../base/version.ts";
import { diskErrorOf } from "../disk/disk-error.ts";
import { DiskThread } from "../disk/disk-thread.ts";
import { loadNativeSocket } from "../disk/native-socket.ts";
import { createDaemon, type Daemon } from "../p2p/daemon/daemon.ts";
import { budgetBytesOf, fixedBytesOf } from "../p2p/daemon/memory/amounts.ts";
import { MemoryBudget } from "../p2p/daemon/memory/budget.ts";
import { memoryMetricsOf } from "../p2p/daemon/memory/metrics.ts";
import { startRates } from "../p2p/daemon/rates/rates.ts";
import { transferMetricsOf } from "../p2p/daemon/transfer/metrics.ts";
import { createPieceClient } from "../p2p/daemon/transfer/piece-client.ts";
import { startPieceServer } from "../p2p/daemon/transfer/piece-server.ts";
import { openPieceStore } from "../p2p/pieces/store.ts";
import { startProxy, type Proxy } from "../p2p/proxy/proxy.ts";
import { insecureHostsOf } from "../p2p/proxy/registries.ts";
import { createSources } from "../p2p/source/sources.ts";
import { addressText } from "../wire/grpc/address.ts";
import { DaemonService } from "../wire/grpc/gen/anax/v1/daemon.ts";
import { SocketChannel } from "../wire/grpc/socket-channel.ts";
import { socketPathOf, type AnaxConfig } from "./config.ts";
import { HeapGrowth } from "./heap-growth.ts";
import { inUseOf } from "./in-use/use-sources.ts";
import { listening } from "./listening.ts";
import type { Listener } from "./run.ts";
import type { ProbePart } from "./probes.ts";
import { letOldGenerationGrow, letYoungGenerationGrow, youngGenerationBytes } from "./small-heap.ts";
import type { NodeParts, Role } from "./start.ts";

/** Memory of the proxy for what the kernel cannot copy by itself: TLS, and machines without sendfile. */
const PROXY_BUFFER_BYTES = 256 * 1024;
const PROXY_BUFFERS = 32;
const PROXY_BUFFERS_WAITING_MAX = 4096;

/** What a stranger on the socket may answer, and how long he may take, when he is asked who he is. */
const INFO_BYTES_MAX = 1024 * 1024;
const INFO_TIMEOUT_MS = 2000;

/** What its readiness is made of. */
export const daemonPartsOf = ({ p2p }: AnaxConfig): readonly string[] => [
  "piece-store",
  "transfer",
  "upload",
  "socket",
  ...(p2p.proxy.enabled ? ["proxy"] : []),
  "schedulers",
];

/** A small file is flushed once, after some calls that take no time: one thread keeps up with the pool for longer than where they are made. */
const FLUSH_SLOW_MS = 3;

/** A daemon with its servers: pieces, gRPC for peers and for this machine, proxy. `schedulers` are those of this process. */
export async function startDaemonRole(
  parts: NodeParts,
  schedulers: readonly string[],
  listeners: () => readonly Listener[],
): Promise<Role> {
  const { config, registry, probes, serveGrpc } = parts;
  const { p2p, dataDir } = config;
  const log = parts.log.child({ role: p2p.daemon.seed ? "seed" : "daemon" });
  const daemonConfig = { ...p2p.daemon, schedulers: [...schedulers, ...p2p.daemon.schedulers] };
  const common = { clock: realClock, log };
  await using scope = new AsyncDisposableStack();
  const disk = scope.use(new DiskThread(realClock));
  const flusher = scope.use(new DiskThread(realClock, FLUSH_SLOW_MS));
  const storeDir = await privateDirectory(join(dataDir, "pieces"));
  const store = scope.use(
    await openPieceStore({
      ...common,
      dir: storeDir,
      config: p2p.pieces,
      metrics: registry,
      lockOwner: false,
      disk,
      flusher,
      inUse: inUseOf(p2p.inUse, { ...common, storeDir }),
    }),
  );
  probes.reached("piece-store", `${store.list().length} tasks`);
  store.broken.addEventListener("abort", () => probes.lost("piece-store", errorOf(store.broken.reason).message));
  const source = { ...p2p.source, insecureHosts: [...p2p.source.insecureHosts, ...insecureHostsOf(p2p.proxy)] };
  const sources = scope.use(createSources({ ...common, config: source, random: createRandom(), registry, disk }));
  const rates = scope.use(startRates({ ...common, config: p2p.rates, registry }));
  const transfer = { ...common, config: p2p.transfer, metrics: transferMetricsOf(registry), limits: rates };
  const pieceClient = scope.use(createPieceClient(transfer));
  const machine = { constrainedBytes: process.constrainedMemory(), totalBytes: totalmem() };
  const totalBytes = budgetBytesOf(p2p.memory, fixedBytesOf(p2p), machine);
  const memory = new MemoryBudget({ totalBytes, config: p2p.memory, clock: realClock, metrics: memoryMetricsOf(registry) });
  const native = p2p.transfer.sendfile ? await loadNativeSocket() : undefined;
  let daemon: Daemon | undefined;
  const pieces = scope.use(
    await listening(
      "p2p.daemon.transferPort",
      startPieceServer({
        ...transfer,
        host: daemonConfig.listenHost,
        port: daemonConfig.transferPort,
        store,
        blocks: p2p.mesh.enabled ? (connection) => daemon?.blocks?.(connection) : undefined,
      }),
    ),
  );
  daemon = createDaemon({
    ...common,
    config: daemonConfig,
    mesh: p2p.mesh,
    store,
    sources,
    pieceClient,
    rates,
    memory,
    native,
    random: createRandom(),
    registry,
    version: VERSION,
    dataDir,
    uploads: () => ({ uploadsInFlight: pieces.uploadsInFlight, uploadSlots: p2p.transfer.uploadsMax }),
    listeners,
  });
  const generations = { youngBytes: youngGenerationBytes, youngMayGrow: letYoungGenerationGrow, oldMayGrow: letOldGenerationGrow };
  const heap = scope.use(new HeapGrowth(generations, realClock));
  scope.use(daemon.downloads.onStart(() => heap.downloadBegan()));
  const proxies: Proxy[] = [];
  try {
    const upload = scope.use(
      await listening(
        "p2p.daemon.uploadPort",
        serveGrpc({ host: daemonConfig.listenHost, port: daemonConfig.uploadPort }, daemon.uploadServices),
      ),
    );
    const local = scope.use(
      await listening(
        "p2p.daemon.socketPath",
        onSocket(socketPathOf(config), (path) => serveGrpc({ path }, daemon.localServices)),
      ),
    );
    scope.defer(() => daemon[Symbol.asyncDispose]()); // before the servers: it ends the streams that they would wait for
    if (p2p.proxy.enabled)
      proxies.push(
        scope.use(
          await listening(
            p2p.proxy.mirrors.length === 0 ? "p2p.proxy.port" : "p2p.proxy.port or p2p.proxy.mirrors",
            startProxy({
              ...common,
              config: p2p.proxy,
              source,
              downloads: daemon.downloads,
              metrics: registry,
              host: { ip: daemon.host.ip },
              caDir: join(dataDir, "proxy-ca"),
              buffers: new BufferPool({ bufferBytes: PROXY_BUFFER_BYTES, count: PROXY_BUFFERS, waitingMax: PROXY_BUFFERS_WAITING_MAX }),
              native,
            }),
          ),
        ),
      );
    const uploadAddress = upload.addresses[0]!; // it was given one
    daemon.join({ uploadPort: "port" in uploadAddress ? uploadAddress.port : 0, transferPort: pieces.port });
    const bound: readonly Listener[] = [
      { name: "upload", address: addressText(uploadAddress) },
      { name: "transfer", address: addressText({ host: daemonConfig.listenHost, port: pieces.port }) },
      ...proxies.map(({ port }) => ({ name: "proxy", address: `http://${addressText({ host: p2p.proxy.listenIp, port })}` })),
      { name: "socket", address: addressText(local.addresses[0]!) }, // likewise
    ];
    for (const { name, address } of bound) probes.reached(name, address);
    probes.watched("schedulers", () => schedulersPart(daemon.schedulers));
    const owned = scope.move();
    return {
      listeners: bound,
      status: () => ({
        daemon: { hostId: daemon.host.id, seed: daemonConfig.seed, schedulers: daemon.schedulers, tasks: store.list().length },
      }),
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  } catch (thrown) {
    await daemon[Symbol.asyncDispose]();
    throw thrown;
  }
}

/** A daemon whose schedulers are all gone still serves: from its disk, and from sources. Taking it out of service would take that away, too. */
function schedulersPart(states: Daemon["schedulers"]): Omit<ProbePart, "name"> {
  const count = (...wanted: readonly string[]): number => states.filter(({ state }) => wanted.includes(state)).length;
  const live = count("ours", "foreign");
  if (states.length === 0) return { state: "ok", detail: "none set: works alone" };
  if (live > 0) return { state: "ok", detail: `${live} of ${states.length} reached` };
  if (count("connecting") > 0) return { state: "waiting", detail: `0 of ${states.length} reached yet` };
  return { state: "degraded", detail: `none of ${states.length} is reached: works alone until one is` };
}

/** As `serve`; where a daemon of ours has the socket already, the error says so, with its pid. */
async function onSocket<T>(path: string, serve: (path: string) => Promise<T>): Promise<T> {
  try {
    await socketDirectory(dirname(path));
    return await serve(path);
  } catch (thrown) {
    if (!(thrown instanceof AnaxError) || thrown.code !== "listen.address-in-use") throw thrown;
    using channel = new SocketChannel(path, { clock: realClock, receiveBytesMax: INFO_BYTES_MAX });
    const owner = await channel.unary(DaemonService.info, {}, { timeoutMs: INFO_TIMEOUT_MS }).catch(() => undefined);
    throw owner === undefined ? thrown : new AnaxError("daemon.already-running", { socket: path, pid: owner.pid }, { cause: thrown });
  }
}

/** One that is there stays as it is: containers may have mounted it, and would not see another one. */
async function socketDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw new AnaxError("listen.failed", { address: path, reason: errorOf(cause).message }, { cause });
  }
}

/** Content may be private, and the files themselves are readable by all, so that outputs which are hard links are. */
async function privateDirectory(path: string): Promise<string> {
  try {
    await mkdir(path, { recursive: true });
    await chmod(path, 0o700);
    return path;
  } catch (thrown) {
    throw diskErrorOf(thrown, { path });
  }
}
