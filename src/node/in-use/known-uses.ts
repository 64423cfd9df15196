import type { Clock } from "../../base/clock.ts";
import { AnaxError, errorOf, systemCodeOf } from "../../base/errors.ts";
import type { Log, LogFields } from "../../base/log.ts";
import type { InUse, Use } from "../../p2p/pieces/in-use.ts";
import { withSignal } from "../../p2p/pieces/with-signal.ts";
import type { InUseConfig } from "./config.ts";
import type { Look, UseSource } from "./use-source.ts";

export interface KnownUsesOptions {
  readonly source: UseSource;
  readonly config: Pick<InUseConfig, "timeoutMs" | "retryMs" | "unknownKeepMs">;
  readonly clock: Clock;
  readonly log: Log;
}

/** Names of images in a log line. */
const NAMED_MAX = 16;

/** What one source said when it last answered. While it does not, that stands; before it ever did, it is a while as if all were in use. */
export class KnownUses implements InUse {
  readonly #options: KnownUsesOptions;
  #known: readonly Use[] | undefined;
  /** Of a look that outlived its deadline: no second one is begun beside it. */
  #looking: Promise<Look> | undefined;
  #askNotBeforeMs = -Infinity;
  #unansweredSinceMs: number | undefined;
  /** What has been said about it already. */
  #told: string | undefined;

  constructor(options: KnownUsesOptions) {
    this.#options = options;
  }

  async uses(): Promise<readonly Use[]> {
    const { clock, source, config } = this.#options;
    if (clock.nowMs() >= this.#askNotBeforeMs) {
      try {
        this.#answered(await this.#look());
      } catch (thrown) {
        this.#askNotBeforeMs = clock.nowMs() + config.retryMs;
        this.#unanswered(thrown);
      }
    }
    if (this.#known !== undefined) return this.#known;
    const keeps = this.#unansweredSinceMs !== undefined && clock.nowMs() - this.#unansweredSinceMs < config.unknownKeepMs;
    return keeps ? source.unknown : [];
  }

  async #look(): Promise<Look> {
    const { clock, config, source } = this.#options;
    using deadline = clock.deadline(config.timeoutMs);
    this.#looking ??= source.look(deadline.signal).finally(() => (this.#looking = undefined));
    try {
      return await withSignal(this.#looking, deadline.signal);
    } catch (thrown) {
      throw deadline.expired ? new AnaxError("rpc.deadline-exceeded", { timeoutMs: config.timeoutMs }, { cause: thrown }) : thrown;
    }
  }

  #answered(look: Look): void {
    if (look.kind === "absent" && this.#known !== undefined) throw new AnaxError("rpc.unavailable", { reason: "it was here before" });
    this.#unansweredSinceMs = undefined;
    if (look.kind === "absent") return;
    this.#known = look.uses;
    const { withoutLayers } = look;
    if (withoutLayers.length === 0) return this.#tell("info", "answers");
    this.#tell("warn", "layers-unknown", { containers: withoutLayers.slice(0, NAMED_MAX), count: withoutLayers.length });
  }

  #unanswered(thrown: unknown): void {
    const { clock, source } = this.#options;
    const error = errorOf(thrown);
    if (isDenied(thrown)) return this.#tell("warn", "denied", { code: error.code, reason: error.message });
    this.#unansweredSinceMs ??= clock.nowMs();
    const kept = this.#known === undefined ? (source.unknown.length === 0 ? "nothing" : "images") : "as-last-seen";
    this.#tell("warn", "unanswered", { code: error.code, reason: error.message, kept });
  }

  /** Once, until there is something else to tell. That all is well is news only after it was not. */
  #tell(level: "info" | "warn", what: string, fields: LogFields & { readonly code?: string } = {}): void {
    const cause = `${what} ${fields.code}`;
    const before = this.#told;
    this.#told = cause;
    if (before === cause || (before === undefined && level === "info")) return;
    this.#options.log[level](`in-use.${what}`, { source: this.#options.source.name, ...fields });
  }
}

/** This user may not ask, and never will: no reason to wait for an answer. */
export function isDenied(thrown: unknown): boolean {
  if (thrown instanceof AnaxError && thrown.code === "rpc.permission-denied") return true;
  return ["EACCES", "EPERM"].includes(systemCodeOf(thrown) ?? "");
}
