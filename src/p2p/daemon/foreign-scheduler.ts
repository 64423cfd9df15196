import type { Clock } from "../../base/clock.ts";
import { AnaxError, errorOf } from "../../base/errors.ts";
import type { GrpcChannel } from "../../wire/grpc/client.ts";
import { HealthService } from "../../wire/grpc/gen/grpc/health/v1/health.ts";
import { SchedulerService } from "../../wire/grpc/gen/scheduler/v2/scheduler.ts";
import { durationOf } from "../../wire/grpc/time.ts";
import type { DaemonConfig } from "./config.ts";
import type { HostFacts } from "./host.ts";

const HEALTH_EVERY_MS = 5000;
const SERVING = 1;

/** Announces this host to a Dragonfly scheduler again and again, and looks after its health, until a call fails; throws why. */
export async function announceTo(options: {
  readonly channel: GrpcChannel;
  readonly host: HostFacts;
  readonly config: Pick<DaemonConfig, "rpcMs" | "announceIntervalMs">;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onAnnounced: () => void;
}): Promise<never> {
  const { channel, host, config, clock, signal } = options;
  const call = { timeoutMs: config.rpcMs, signal };
  for (;;) {
    await channel.unary(SchedulerService.announceHost, { host: host.message(), interval: durationOf(config.announceIntervalMs) }, call);
    options.onAnnounced();
    const untilMs = clock.nowMs() + config.announceIntervalMs;
    while (clock.nowMs() < untilMs) {
      await clock.sleep(Math.min(HEALTH_EVERY_MS, Math.max(1, untilMs - clock.nowMs())), signal);
      await checkHealth(channel, call);
    }
  }
}

async function checkHealth(channel: GrpcChannel, call: { readonly timeoutMs: number; readonly signal: AbortSignal }): Promise<void> {
  try {
    const { status } = await channel.unary(HealthService.check, { service: "" }, call);
    if (status !== SERVING) throw new AnaxError("rpc.unavailable", { reason: "the scheduler is not serving" });
  } catch (thrown) {
    if (errorOf(thrown).code !== "rpc.unimplemented") throw thrown;
  }
}
