import { AnaxError } from "../../base/errors.ts";
import { HealthCheckResponse_ServingStatus as Serving, HealthService } from "./gen/grpc/health/v1/health.ts";
import type { CallContext } from "./open-calls.ts";
import { serviceOf, type GrpcService } from "./service.ts";

export type ServingState = "serving" | "not-serving";

/** Watchers are endless streams: more than any deployment has, fewer than would hurt. */
const WATCHERS_MAX = 256;

/** What is served, as `grpc.health.v1` tells it. The empty name stands for the server as a whole. */
export class Health {
  readonly service: GrpcService;
  readonly #states = new Map<string, ServingState>();
  readonly #watchers = new Set<() => void>();

  constructor() {
    this.service = serviceOf(HealthService, {
      check: ({ service }) => {
        if (!this.#states.has(service)) throw new AnaxError("rpc.not-found", { service });
        return { status: this.#servingOf(service) };
      },
      list: () => ({ statuses: Object.fromEntries([...this.#states.keys()].map((name) => [name, { status: this.#servingOf(name) }])) }),
      watch: ({ service }, call) => this.#watch(service, call),
    });
  }

  /** Tells all watchers of `name`. */
  set(name: string, state: ServingState): void {
    this.#states.set(name, state);
    for (const wake of this.#watchers) wake();
  }

  /** Before a stop: callers should go elsewhere. */
  setAll(state: ServingState): void {
    for (const name of this.#states.keys()) this.#states.set(name, state);
    for (const wake of this.#watchers) wake();
  }

  /** A slow watcher misses changes in between, never the last one. */
  async *#watch(name: string, call: CallContext) {
    if (this.#watchers.size >= WATCHERS_MAX) throw new AnaxError("limit.exceeded", { watchersMax: WATCHERS_MAX });
    let wake: (() => void) | undefined;
    const onChange = (): void => wake?.();
    this.#watchers.add(onChange);
    call.signal.addEventListener("abort", onChange);
    call.draining.addEventListener("abort", onChange);
    try {
      let told: Serving | undefined;
      while (!call.signal.aborted) {
        const { promise: changed, resolve } = Promise.withResolvers<void>();
        wake = resolve; // before the state is read, so that no change falls between
        const now = this.#servingOf(name);
        if (now !== told) yield { status: now };
        told = now;
        if (call.draining.aborted) return;
        await changed;
      }
    } finally {
      this.#watchers.delete(onChange);
      call.signal.removeEventListener("abort", onChange);
      call.draining.removeEventListener("abort", onChange);
    }
  }

  #servingOf(name: string): Serving {
    const state = this.#states.get(name);
    if (state === undefined) return Serving.SERVICE_UNKNOWN;
    return state === "serving" ? Serving.SERVING : Serving.NOT_SERVING;
  }
}
