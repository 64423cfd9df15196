import { AnaxError } from "../base/errors.ts";
import type { Health } from "../wire/grpc/health.ts";

/** One thing that a probe looks at. */
export interface ProbePart {
  /** `event-loop`, `piece-store`, `transfer`, `upload`, `socket`, `proxy`, `scheduler`, `schedulers`, `store`, `stopping`. */
  readonly name: string;
  /** `degraded`: it serves, but not as well as it is meant to. */
  readonly state: "ok" | "degraded" | "waiting" | "failed";
  /** For a person. */
  readonly detail: string;
}

export interface ProbeAnswer {
  readonly holds: boolean;
  readonly parts: readonly ProbePart[];
}

/**
 * What `/healthz`, `/readyz` and `grpc.health.v1` answer. *Live*: no restart would help; somebody who can end and start this process may do so
 * when it is not. *Ready*: it does all that it was started for.
 */
export class Probes {
  readonly #parts = new Map<string, ProbePart | (() => ProbePart)>();
  readonly #health: Health[] = [];
  readonly #broken = new AbortController();
  #busy = performance.eventLoopUtilization();
  #stopping = false;

  /** Aborts, with the reason, once only a new process can help. */
  get broken(): AbortSignal {
    return this.#broken.signal;
  }

  /** What will be there when this process is ready. */
  expect(names: readonly string[]): void {
    for (const name of names) this.#parts.set(name, { name, state: "waiting", detail: "not yet" });
  }

  reached(name: string, detail: string): void {
    this.#parts.set(name, { name, state: "ok", detail });
  }

  /** For a part that comes and goes. */
  watched(name: string, look: () => Omit<ProbePart, "name">): void {
    this.#parts.set(name, () => ({ name, ...look() }));
  }

  /** A gRPC server's health follows from now on. */
  follow(health: Health): void {
    this.#health.push(health);
  }

  /** From now on callers should go elsewhere. */
  stopping(): void {
    this.#stopping = true;
    for (const health of this.#health) health.setAll("not-serving");
  }

  /** A part is lost for good, and this process with it. Only the first is kept. */
  lost(name: string, reason: string): void {
    this.#parts.set(name, { name, state: "failed", detail: reason });
    for (const health of this.#health) health.setAll("not-serving");
    this.#broken.abort(new AnaxError("internal", { part: name, reason }));
  }

  live(): ProbeAnswer {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#busy);
    this.#busy = now;
    // One that stands still is seen by the answer that does not come.
    const loop: ProbePart = { name: "event-loop", state: "ok", detail: `${Math.round(utilization * 100)} % busy since the last look` };
    const parts = [loop, ...this.#all().filter(({ state }) => state === "failed")];
    return { holds: parts.length === 1, parts };
  }

  ready(): ProbeAnswer {
    const stopping: ProbePart = { name: "stopping", state: "waiting", detail: "what runs is let end, nothing new is taken" };
    const parts = [...this.#all(), ...(this.#stopping ? [stopping] : [])];
    return { holds: parts.every(({ state }) => state === "ok" || state === "degraded"), parts };
  }

  #all(): readonly ProbePart[] {
    return [...this.#parts.values()].map((part) => (typeof part === "function" ? part() : part));
  }
}
