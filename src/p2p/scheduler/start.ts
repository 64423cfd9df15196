import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { Registry } from "../../base/metrics.ts";
import type { ClientTls } from "../../wire/grpc/client.ts";
import type { SchedulerStatus } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import type { GrpcService } from "../../wire/grpc/service.ts";
import type { SchedulerConfig } from "./config.ts";
import { schedulerMetricsOf } from "./metrics.ts";
import { SchedulerRunner } from "./runner.ts";
import { createSeedTrigger } from "./seed-trigger.ts";
import { createOwnService, createSchedulerService, statusOf } from "./service.ts";

export interface SchedulerOptions {
  readonly config: SchedulerConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
  /** Names this scheduler in explanations; new on every start or not, as the operator likes. */
  readonly schedulerId: string;
  readonly version: string;
  /** Towards seeds. */
  readonly tls?: ClientTls | undefined;
}

export interface Scheduler extends AsyncDisposable {
  /** To be put on a gRPC server. */
  readonly services: readonly GrpcService[];
  status(): SchedulerStatus;
}

/** A scheduler without a server: who owns it serves `services`, and disposes the server first. */
export function createScheduler(options: SchedulerOptions): Scheduler {
  const { config, clock, log, schedulerId, version } = options;
  const metrics = schedulerMetricsOf(options.registry);
  const triggerSeed = createSeedTrigger({ clock, tls: options.tls });
  const runner = new SchedulerRunner({ config, clock, log, metrics, triggerSeed });
  const service = { runner, schedulerId, version };
  return {
    services: [createSchedulerService(service), createOwnService(service)],
    status: () => statusOf(service),
    [Symbol.asyncDispose]: () => runner[Symbol.asyncDispose](),
  };
}
