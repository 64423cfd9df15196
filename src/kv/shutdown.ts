import type { Log } from "../base/log.ts";
import { errorOf } from "../base/errors.ts";
import type { Client } from "./clients/client.ts";
import { pauseUntil, unpause } from "./clients/pause.ts";
import type { Store } from "./store.ts";

/** What SHUTDOWN, `shutdown-on-sigterm` and `shutdown-on-sigint` ask for. */
export interface ShutdownHow {
  /** Undefined: where the parameter `save` wants it. */
  readonly save: boolean | undefined;
  /** Waits for no replica. */
  readonly now: boolean;
  /** Ends whatever fails. */
  readonly force: boolean;
}

type State =
  | { readonly state: "running" }
  | { readonly state: "asked"; readonly how: ShutdownHow }
  /** Replicas are to have everything first. */
  | { readonly state: "draining"; readonly how: ShutdownHow; readonly untilMs: number }
  | { readonly state: "saving" }
  | { readonly state: "ready" };

export function shutdownHowOf(words: readonly string[]): ShutdownHow {
  const save = words.includes("save") ? true : words.includes("nosave") ? false : undefined;
  return { save, now: words.includes("now"), force: words.includes("force") };
}

/**
 * The end of a server: writes wait while replicas get everything, for `shutdown-timeout` seconds at most, and what was changed is saved. Where that fails the server goes on, unless it
 * is forced, and so it does when somebody calls it off before it saves.
 */
export class Shutdown {
  readonly #store: Store;
  readonly #log: Log;
  readonly #end: () => void;
  #state: State = { state: "running" };
  /** Of those that came to nothing. */
  #failures = 0;
  readonly #told: ((ends: boolean) => void)[] = [];

  /** `end`: ends the process, or whatever runs this store; nothing is left to be saved then. */
  constructor(store: Store, log: Log, end: () => void) {
    this.#store = store;
    this.#log = log;
    this.#end = end;
  }

  /** Milliseconds for which replicas may be waited for; undefined: they are not. */
  get leftMs(): number | undefined {
    return this.#state.state === "draining" ? Math.max(1, Math.ceil(this.#state.untilMs - this.#store.clock.nowMs())) : undefined;
  }

  /** All that belongs before the end is done. */
  get ready(): boolean {
    return this.#state.state === "ready";
  }

  /** For a client, which waits and is told where it fails. */
  begin(how: ShutdownHow, client: Client): void {
    const failures = this.#failures;
    const failed = (): boolean => {
      if (this.#failures === failures) return false;
      client.reply.error("ERR Errors trying to SHUTDOWN. Check logs.");
      return true;
    };
    this.#store.waits.add(client, 0, failed, () => {});
    if (this.#state.state === "running" || this.#state.state === "asked") this.#drain(how);
  }

  /** For a signal: begins with the next tick. True: the caller is to end the process; false: it goes on. */
  ask(how: ShutdownHow): Promise<boolean> {
    if (this.#state.state === "ready") return Promise.resolve(true);
    if (this.#state.state === "running") this.#state = { state: "asked", how };
    return new Promise((resolve) => this.#told.push(resolve));
  }

  /** Calls it off; false: there is nothing that can be. */
  abort(): boolean {
    if (this.#state.state !== "asked" && this.#state.state !== "draining") return false;
    this.#log.warn("store.shutdown-aborted");
    this.#goOn();
    return true;
  }

  /** From time to time. */
  tick(): void {
    const now = this.#state;
    if (now.state === "asked") this.#drain(now.how);
    else if (now.state === "draining" && (this.#lagging === 0 || this.#store.clock.nowMs() >= now.untilMs)) this.#save(now.how);
  }

  get #lagging(): number {
    return this.#store.replication?.lagging.length ?? 0;
  }

  #drain(how: ShutdownHow): void {
    const store = this.#store;
    pauseUntil(store, Infinity, "write", "shutdown");
    const seconds = store.parameters["shutdown-timeout"];
    if (how.now || seconds === 0 || store.loading !== undefined || this.#lagging === 0) return this.#save(how);
    this.#log.info("store.shutdown-waits", { replicas: this.#lagging, seconds });
    this.#state = { state: "draining", how, untilMs: store.clock.nowMs() + seconds * 1000 };
    store.replication!.primary.askAckNow(); // it has replicas
  }

  #save(how: ShutdownHow): void {
    const { replication, persistence } = this.#store;
    for (const { announced, ackOffset } of replication?.lagging ?? [])
      this.#log.warn("store.replica-lags", { ...announced, bytes: this.#store.replicationOffset - (ackOffset ?? 0) });
    const replicas = replication?.primary.online.length ?? 0;
    if (replicas > 0) this.#log.info("store.replicas-drained", { replicas, complete: replicas - this.#lagging });
    this.#state = { state: "saving" };
    Promise.resolve(persistence?.finish(how)).then(
      () => this.#ready(),
      (thrown: unknown) => {
        this.#log.error("store.shutdown-failed", { error: errorOf(thrown).message });
        this.#goOn();
      },
    );
  }

  #ready(): void {
    this.#state = { state: "ready" };
    this.#log.info("store.ends");
    const told = this.#told.splice(0);
    for (const tell of told) tell(true);
    if (told.length === 0) this.#end();
  }

  #goOn(): void {
    this.#state = { state: "running" };
    this.#failures++;
    unpause(this.#store, "shutdown");
    this.#store.waits.serve();
    for (const tell of this.#told.splice(0)) tell(false);
  }
}
