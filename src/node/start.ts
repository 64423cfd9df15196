import { isoText, realClock } from "../base/clock.ts";
import { InvariantError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { createRegistry } from "../base/metrics.ts";
import { VERSION } from "../base/version.ts";
import { lockDirectory } from "../disk/directory-lock.ts";
import { addressText } from "../wire/grpc/address.ts";
import { Health } from "../wire/grpc/health.ts";
import type { OnCallError } from "../wire/grpc/open-calls.ts";
import { reflectionOf } from "../wire/grpc/reflection.ts";
import { GrpcServer } from "../wire/grpc/server.ts";
import type { GrpcService } from "../wire/grpc/service.ts";
import type { AnaxConfig } from "./config.ts";
import { listening } from "./listening.ts";
import { Probes } from "./probes.ts";
import { openRunRecord } from "./run-record.ts";
import type { Listener, Running } from "./run.ts";
import { daemonPartsOf, startDaemonRole } from "./start-daemon.ts";
import { SCHEDULER_PARTS, startSchedulerRole } from "./start-scheduler.ts";
import { STORE_PARTS, startStoreRole } from "./start-store.ts";
import { startStatusServer } from "./status-server.ts";

export interface Roles {
  readonly scheduler: boolean;
  readonly daemon: boolean;
  readonly store: boolean;
  /** The S3 gateway. */
  readonly s3?: boolean;
  /** The service for `anax volume … --server`. */
  readonly volumes?: boolean;
}

const S3_PARTS = ["s3"] as const;
const VOLUME_PARTS = ["volumes"] as const;

/** What every role of a process shares. */
export interface NodeParts {
  readonly config: AnaxConfig;
  readonly log: Log;
  readonly registry: ReturnType<typeof createRegistry>;
  readonly probes: Probes;
  /** A gRPC server on this address, with health and reflection. */
  readonly serveGrpc: (
    listen: { readonly host: string; readonly port: number } | { readonly path: string },
    services: readonly GrpcService[],
  ) => Promise<GrpcServer>;
}

/** A running role: its sockets, and what a person asks of it. Disposing drains it. */
export interface Role extends AsyncDisposable {
  readonly listeners: readonly Listener[];
  readonly status: () => Readonly<Record<string, unknown>>;
  /** Of one that is alone in the process: as that of `Running`. */
  readonly mayEnd?: Running["mayEnd"];
}

/** Starts the roles in the order in which they need each other. Throws `daemon.already-running`, `listen.*`, `disk.*`; nothing is left running then. */
export async function startNode(config: AnaxConfig, roles: Roles, log: Log): Promise<Running> {
  await using scope = new AsyncDisposableStack();
  if (roles.daemon) {
    scope.use(await lockDirectory(config.dataDir));
    scope.use(await openRunRecord(config.dataDir, log));
  }
  const registry = createRegistry({ runtime: true });
  const running: Role[] = [];
  const startedAt = isoText(realClock.wallMs());
  const probes = new Probes();
  const parts: NodeParts = { config, log, registry, probes, serveGrpc: (listen, services) => serveGrpc(listen, services, parts) };
  if (roles.scheduler) probes.expect(SCHEDULER_PARTS);
  if (roles.daemon) probes.expect(daemonPartsOf(config));
  if (roles.store) probes.expect(STORE_PARTS);
  if (roles.s3 === true) probes.expect(S3_PARTS);
  if (roles.volumes === true) probes.expect(VOLUME_PARTS);
  const statusSetting = roles.daemon
    ? "port"
    : roles.scheduler
      ? "schedulerPort"
      : roles.store
        ? "storePort"
        : roles.s3 === true
          ? "s3Port"
          : "volumePort";
  const status = scope.use(
    await listening(
      `status.${statusSetting}`,
      startStatusServer(
        { host: config.status.listenHost, port: config.status[statusSetting] },
        {
          registry,
          live: () => probes.live(),
          ready: () => probes.ready(),
          status: () => ({
            version: VERSION,
            pid: process.pid,
            startedAt,
            listeners: listenersOf(running),
            ...Object.assign({}, ...running.map((role) => role.status())),
          }),
        },
        log,
      ),
    ),
  );
  const schedulers: string[] = [];
  if (roles.scheduler) {
    const role = scope.use(await startSchedulerRole(parts));
    running.push(role);
    schedulers.push(role.localAddress);
  }
  if (roles.daemon)
    running.push(
      scope.use(await startDaemonRole(parts, schedulers, () => [...listenersOf(running), { name: "status", address: status.address }])),
    );
  if (roles.store) running.push(scope.use(await startStoreRole(parts, !roles.daemon && !roles.scheduler)));
  if (roles.s3 === true) {
    const { startS3Role } = await import("./start-s3.ts"); // most processes serve none
    running.push(scope.use(await startS3Role(parts)));
  }
  if (roles.volumes === true) {
    const { startVolumeRole } = await import("./start-volumes.ts");
    running.push(scope.use(await startVolumeRole(parts)));
  }
  log.info("node.ready", { roles, listeners: Object.fromEntries(listenersOf(running).map(({ name, address }) => [name, address])) });
  scope.defer(() => probes.stopping()); // the first thing that a stop does
  const owned = scope.move();
  return {
    listeners: [...listenersOf(running), { name: "status", address: status.address }],
    broken: probes.broken,
    mayEnd: running.find(({ mayEnd }) => mayEnd !== undefined)?.mayEnd,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const listenersOf = (roles: readonly Role[]): readonly Listener[] => roles.flatMap(({ listeners }) => listeners);

async function serveGrpc(
  listen: { readonly host: string; readonly port: number } | { readonly path: string },
  services: readonly GrpcService[],
  { log, probes }: NodeParts,
): Promise<GrpcServer> {
  const health = new Health();
  const own = [...services, health.service];
  const server = await GrpcServer.start({
    listen: [listen],
    services: [...own, ...reflectionOf(own)],
    clock: realClock,
    onError: reporterFor(log.child({ listen: addressText(listen) })),
  });
  for (const { name } of [{ name: "" }, ...services]) health.set(name, "serving");
  probes.follow(health);
  return server;
}

/** One line per failed call, by whose fault it is; a bug must not go on serving. */
function reporterFor(log: Log): OnCallError {
  return (error, call) => {
    const fields = { method: call.method, peer: call.peer, code: error.code, reason: error.message };
    if (error.cause instanceof InvariantError) throw error.cause;
    if (error.code === "internal")
      log.error("rpc.failed", { ...fields, stack: error.cause instanceof Error ? error.cause.stack : error.stack });
    else log.debug("rpc.refused", fields);
  };
}
