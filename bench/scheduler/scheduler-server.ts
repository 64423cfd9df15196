// A scheduler with its gRPC services on a free port, until it is told to stop.
import { realClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { createRegistry } from "../../src/base/metrics.ts";
import { SchedulerConfig } from "../../src/p2p/scheduler/config.ts";
import { createScheduler } from "../../src/p2p/scheduler/start.ts";
import { GrpcServer } from "../../src/wire/grpc/server.ts";

const config = SchedulerConfig.parse({ settleMs: "0ms", heartbeatMissesMax: 100 });
const common = { clock: realClock, log: silentLog };
await using scheduler = createScheduler({
  ...common,
  config,
  registry: createRegistry({ runtime: false }),
  schedulerId: "bench",
  version: "bench",
});
await using server = await GrpcServer.start({
  listen: [{ host: "127.0.0.1", port: 0 }],
  services: scheduler.services,
  clock: realClock,
  onError: () => undefined,
  drainTimeoutMs: 100,
});
const stopped = new Promise((resolve) => process.once("SIGTERM", resolve));
console.log(JSON.stringify(server.addresses[0]));
await stopped;
