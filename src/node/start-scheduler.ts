import { hostname } from "node:os";
import { realClock } from "../base/clock.ts";
import { VERSION } from "../base/version.ts";
import { createScheduler } from "../p2p/scheduler/start.ts";
import { addressText } from "../wire/grpc/address.ts";
import { listening } from "./listening.ts";
import type { NodeParts, Role } from "./start.ts";

/** What its readiness is made of. */
export const SCHEDULER_PARTS = ["scheduler"] as const;

/** A scheduler with its server. */
export async function startSchedulerRole({
  config,
  log,
  registry,
  probes,
  serveGrpc,
}: NodeParts): Promise<Role & { readonly localAddress: string }> {
  await using scope = new AsyncDisposableStack();
  const { listenHost, port } = config.scheduler;
  const schedulerId = `${hostname()}:${process.pid}`;
  const scheduler = scope.use(
    createScheduler({
      config: config.p2p.scheduler,
      clock: realClock,
      log: log.child({ role: "scheduler" }),
      registry,
      schedulerId,
      version: VERSION,
    }),
  );
  const server = scope.use(await listening("scheduler.port", serveGrpc({ host: listenHost, port }, scheduler.services)));
  const address = server.addresses[0]!; // it was given one
  const bound = "port" in address ? address.port : port;
  probes.reached("scheduler", addressText(address));
  const owned = scope.move();
  return {
    listeners: [{ name: "scheduler", address: addressText(address) }],
    localAddress: addressText({ host: reachable(listenHost), port: bound }),
    status: () => {
      const { hosts, tasks, peers } = scheduler.status();
      return { scheduler: { id: schedulerId, hosts, tasks, peers } };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Where this machine reaches a server of its own that listens everywhere. */
function reachable(listenHost: string): string {
  if (listenHost === "0.0.0.0") return "127.0.0.1";
  return listenHost === "::" ? "::1" : listenHost;
}
