import { join as joinPath } from "node:path";
import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { Registry } from "../../base/metrics.ts";
import type { Random } from "../../base/random.ts";
import type { ClientTls } from "../../wire/grpc/client.ts";
import type { Listener } from "../../wire/grpc/gen/anax/v1/daemon.ts";
import type { NativeSocket } from "../../disk/native-socket.ts";
import type { GrpcService } from "../../wire/grpc/service.ts";
import type { PieceStore } from "../pieces/types.ts";
import type { Sources } from "../source/types.ts";
import { createAnaxService } from "./anax-service.ts";
import { wireStoredOf } from "./api.ts";
import type { Inventory } from "./inventory.ts";
import { PeerChannels } from "./channels.ts";
import type { DaemonConfig } from "./config.ts";
import { createDownloadService } from "./download-service.ts";
import { createDownloads, type RunningDownloads } from "./downloads.ts";
import { createHost, portsOnce, type HostFacts, type HostPorts } from "./host.ts";
import { createHostStats } from "./host-stats.ts";
import type { MemoryBudget } from "./memory/budget.ts";
import type { MeshConfig } from "./mesh/config.ts";
import { Mesh } from "./mesh/mesh.ts";
import { meshMetricsOf } from "./mesh/metrics.ts";
import { Voucher } from "./mesh/proof.ts";
import { UploadSlots } from "./mesh/upload-slots.ts";
import { daemonMetricsOf } from "./metrics.ts";
import { PeerIds } from "./peer-ids.ts";
import type { Rates } from "./rates/rates.ts";
import { resumeEarlier } from "./resume/resume-earlier.ts";
import { RunningRecord } from "./resume/running-record.ts";
import { Schedulers } from "./schedulers.ts";
import { TaskStories } from "./task-story.ts";
import { createTaskQueries } from "./tasks-service.ts";
import type { BlockHandover } from "./transfer/piece-server.ts";
import type { PieceClient } from "./transfer/types.ts";
import { createUploadService } from "./upload-service.ts";

/** What the composition root has opened before; all of it outlives the daemon and is disposed by its owner. */
export interface DaemonParts {
  readonly config: DaemonConfig;
  readonly mesh: MeshConfig;
  readonly store: PieceStore;
  readonly sources: Sources;
  readonly pieceClient: PieceClient;
  readonly rates: Rates;
  readonly memory: MemoryBudget;
  /** For connections to other peers; undefined: without it they cost more turns. */
  readonly native: NativeSocket | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly registry: Registry;
  readonly version: string;
  readonly dataDir: string;
  /** Pieces being served by the piece server, and how many it serves at most. */
  readonly uploads: HostFacts["uploads"];
  /** What listens where, for `anax.v1.Daemon.Info`. */
  readonly listeners: () => readonly Listener[];
  /** For calls to schedulers and peers. */
  readonly tls?: ClientTls | undefined;
}

/**
 * A daemon without its sockets. The composition root starts the piece server, puts `uploadServices` on a gRPC server of
 * `config.listenHost:config.uploadPort` and `localServices` on one of the Unix socket, and then calls `join` with the ports that it
 * got. Before `join` no scheduler hears of this host. Dispose it before the servers: it says farewell to the schedulers, ends all
 * downloads, and with them the streams that the servers would wait for.
 */
export interface Daemon extends AsyncDisposable {
  readonly downloads: RunningDownloads;
  readonly host: HostFacts;
  /** For other peers, over TCP. */
  readonly uploadServices: readonly GrpcService[];
  /** Takes over connections of our own peers from the piece server; undefined where the mesh is disabled. */
  readonly blocks: BlockHandover | undefined;
  /** For programs on this machine, over a Unix socket. */
  readonly localServices: readonly GrpcService[];
  /** How the schedulers do, for status pages; empty before `join`. */
  readonly schedulers: Schedulers["states"];
  join(ports: HostPorts): void;
}

/** Throws `input.invalid` for a scheduler address that is none. */
export function createDaemon(parts: DaemonParts): Daemon {
  const { config, store, sources, clock, random, log } = parts;
  const metrics = daemonMetricsOf(parts.registry);
  const ports = portsOnce();
  const link = () => parts.rates.capacity();
  const slots = new UploadSlots({ first: parts.mesh.uploadSlots, link, clock });
  const stats = createHostStats({ clock, store, capacity: link });
  const host = createHost({ config, version: parts.version, stats, ports: ports.get, uploads: parts.uploads });
  const peerIds = new PeerIds(host);
  const stories = new TaskStories({ wallMs: () => clock.wallMs() });
  const channels = new PeerChannels({ clock, tls: parts.tls });
  const inventory = inventoryOf(store, peerIds);
  const voucher = new Voucher();
  const schedulers = new Schedulers({
    signingKey: voucher.publicKey,
    host,
    inventory,
    config,
    clock,
    random,
    log,
    metrics,
    tls: parts.tls,
  });
  const mesh = parts.mesh.enabled
    ? new Mesh({
        ...parts,
        ...config,
        config: parts.mesh,
        metrics: meshMetricsOf(parts.registry),
        voucher,
        limits: parts.rates,
        slots,
        host,
        peerIds,
        channels,
        waitMs: config.syncWaitMs,
      })
    : undefined;
  const path = joinPath(parts.dataDir, "running-downloads.json");
  const record = new RunningRecord({ path, enabled: config.resumeMax > 0, clock, log });
  const downloads = createDownloads({
    record,
    store,
    sources,
    pieceClient: parts.pieceClient,
    limits: parts.rates,
    memory: parts.memory,
    schedulers,
    channels,
    hostId: host.id,
    place: () => host.message().network,
    mesh,
    config,
    clock,
    random,
    log,
    metrics,
    stories,
    peerIds,
    isForeign: (task) => schedulers.isForeign(task),
  });
  const removed = store.events.onRemoved((task) => {
    stories.tell(task, "task.removed");
    schedulers.changed(task);
    peerIds.forget(task); // a scheduler takes what was dropped for gone for good
  });
  const queries = createTaskQueries({ store, sources, schedulers, clock });
  const stop = new AbortController();
  const measuring = stats.run(config.hostStatsMs, stop.signal);
  let resuming: Promise<void> | undefined;
  return {
    downloads,
    host,
    uploadServices: [createUploadService({ ...parts, downloads, queries, host }), ...(mesh === undefined ? [] : [mesh.service])],
    blocks: mesh?.handOver,
    localServices: [
      createDownloadService({ ...parts, downloads, queries, schedulers, host, stories, limits: parts.rates }),
      createAnaxService({ ...parts, downloads, stories, schedulers, peerIds, host, limits: parts.rates }),
    ],
    get schedulers() {
      return schedulers.states;
    },
    join(known) {
      ports.set(known);
      schedulers.join();
      resuming = resumeEarlier({ record, downloads, store, config, clock, log, metrics, stories }, stop.signal);
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await schedulers.deleteHost();
      await downloads[Symbol.asyncDispose]();
      await resuming;
      await record[Symbol.asyncDispose]();
      await mesh?.[Symbol.asyncDispose]();
      await schedulers[Symbol.asyncDispose]();
      removed[Symbol.dispose]();
      channels[Symbol.dispose]();
      await measuring;
    },
  };
}

function inventoryOf(store: PieceStore, peerIds: PeerIds): Inventory {
  return {
    *list() {
      for (const stored of store.list())
        if (stored.finished.count > 0 || stored.state === "finished") yield wireStoredOf(stored, peerIds.of(stored.meta.id));
    },
    find(task) {
      const stored = store.find(task);
      return stored === undefined ? undefined : wireStoredOf(stored, peerIds.of(task));
    },
    piecesOf: (task) => store.find(task)?.finished.count,
    peerIdOf: (task) => peerIds.peek(task),
  };
}
