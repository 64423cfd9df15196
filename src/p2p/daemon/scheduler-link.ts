import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { Clock } from "../../base/clock.ts";
import { AnaxError, errorOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import { backoffMs } from "../../base/retry.ts";
import { SchedulerService, type AnnouncePeerRequest, type AnnouncePeerResponse } from "../../wire/grpc/gen/scheduler/v2/scheduler.ts";
import { openChannel, type BidiStream, type ClientTls, type GrpcChannel } from "../../wire/grpc/client.ts";
import type { SchedulerAddress } from "../model/hash-ring.ts";
import type { TaskId } from "../model/ids.ts";
import { attachTo } from "./attach.ts";
import type { DaemonConfig } from "./config.ts";
import { announceTo } from "./foreign-scheduler.ts";
import type { HostFacts } from "./host.ts";
import type { Inventory, RunningTask } from "./inventory.ts";
import { Talks } from "./talks.ts";

/** connecting: not tried yet. ours: holds a stream of ours. foreign: a Dragonfly scheduler. */
export type LinkState = "connecting" | "ours" | "foreign" | "down";

export interface LinkOptions {
  readonly address: { readonly host: string; readonly port: number };
  readonly host: HostFacts;
  readonly inventory: Inventory;
  /** See `AttachOptions`. */
  readonly signingKey?: Uint8Array | undefined;
  readonly config: Pick<DaemonConfig, "schedulerConnectMs" | "rpcMs" | "announceIntervalMs" | "hostStatsMs">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly tls?: ClientTls | undefined;
  readonly onChange: () => void;
}

const BACKOFF = { attemptsMax: Infinity, firstMs: 200, maxMs: 5000 };

/** The tie to one scheduler: finds out what it is, tells it of this host for as long as both live, and mends itself. */
export class SchedulerLink implements AsyncDisposable {
  readonly channel: GrpcChannel;
  readonly #options: LinkOptions;
  readonly #stop = new AbortController();
  readonly #ran: Promise<void>;
  /** What changed here and has not been told; only what is true now matters, so one entry for a task is enough. */
  readonly #changed = new Set<TaskId>();
  /** Of downloads with a scheduler of ours. */
  readonly #talks = new Talks();
  /** Downloads that are announced here. */
  readonly #running = new Map<TaskId, RunningTask>();
  readonly #onLost = new Set<(reason: Error) => void>();
  #tell: ((task: TaskId) => void) | undefined;
  #ending = false;
  #state: LinkState = "connecting";
  #address: SchedulerAddress | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.channel = openChannel(options.address, { clock: options.clock, tls: options.tls });
    this.#ran = this.#run(this.#stop.signal);
  }

  get state(): LinkState {
    return this.#state;
  }

  get target(): string {
    return this.channel.target;
  }

  /** Where it is on the ring; known once its name was resolved. */
  get address(): SchedulerAddress | undefined {
    return this.#address;
  }

  /** A new conversation of a download: inside this host's stream, where the scheduler takes that, else a stream of its own. */
  converse(signal: AbortSignal): BidiStream<AnnouncePeerRequest, AnnouncePeerResponse> {
    if (this.#state === "ours" && this.#talks.ready) return this.#talks.begin(signal);
    const connectTimeoutMs = this.#options.config.schedulerConnectMs;
    return this.channel.bidi(SchedulerService.announcePeer, { signal, connectTimeoutMs });
  }

  /** A download is announced here until this is disposed: heartbeats tell how far it is. */
  runs(task: TaskId, running: RunningTask): Disposable {
    this.#running.set(task, running);
    return { [Symbol.dispose]: () => void (this.#running.get(task) === running && this.#running.delete(task)) };
  }

  /** A task was gained, progressed or was dropped. */
  changed(task: TaskId): void {
    if (this.#tell !== undefined) this.#tell(task);
    else this.#changed.add(task);
  }

  /** The scheduler was told to forget this host: that it ends the tie now is no loss. */
  expectEnd(): void {
    this.#ending = true;
  }

  /** Called once the scheduler does not answer any more. */
  onLost(listen: (reason: Error) => void): Disposable {
    this.#onLost.add(listen);
    return { [Symbol.dispose]: () => void this.#onLost.delete(listen) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new AnaxError("rpc.cancelled", { reason: "the daemon stops" }));
    await this.#ran;
    this.channel[Symbol.dispose]();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#options;
    for (let failures = 0; !signal.aborted;) {
      try {
        this.#address = await this.#resolve();
        await this.#serve(signal);
      } catch (thrown) {
        if (signal.aborted) break;
        const wasLive = this.#state === "ours" || this.#state === "foreign";
        failures = wasLive ? 1 : failures + 1;
        if (this.#ending) log.info("scheduler.left", { scheduler: this.target });
        else if (wasLive || failures === 1)
          log.warn("scheduler.lost", { scheduler: this.target, code: errorOf(thrown).code, reason: errorOf(thrown).message });
      }
      this.#ending = false;
      this.#become("down");
      await clock.sleep(backoffMs(Math.max(1, failures), BACKOFF, random), signal).catch(() => undefined);
    }
    this.#become("down");
  }

  async #resolve(): Promise<SchedulerAddress> {
    const { host, port } = this.#options.address;
    if (isIP(host) !== 0) return { ip: host, port };
    const found = await lookup(host);
    return { ip: found.address, port };
  }

  /** Runs until the tie breaks, and then throws why. */
  async #serve(signal: AbortSignal): Promise<void> {
    const { host, inventory, signingKey, config, clock } = this.#options;
    try {
      await attachTo({
        channel: this.channel,
        host,
        inventory,
        running: this.#running,
        talks: this.#talks,
        signingKey,
        config,
        clock,
        signal,
        onAttached: (tell) => {
          this.#tell = tell;
          for (const task of this.#changed) tell(task);
          this.#changed.clear();
          this.#become("ours");
        },
      });
    } catch (thrown) {
      this.#tell = undefined;
      if (errorOf(thrown).code !== "rpc.unimplemented") throw thrown;
      await announceTo({ channel: this.channel, host, config, clock, signal, onAnnounced: () => this.#becomeForeign() });
    } finally {
      this.#tell = undefined;
    }
  }

  #becomeForeign(): void {
    const { host, inventory, config } = this.#options;
    this.#become("foreign");
    // It keeps no inventory of ours; all it wants to hear is that something is gone.
    this.#tell = (task) => {
      if (inventory.find(task) !== undefined) return;
      forgetTask(this.channel, { hostId: host.id, taskId: task, timeoutMs: config.rpcMs });
    };
    this.#changed.clear();
  }

  #become(state: LinkState): void {
    if (this.#state === state) return;
    this.#state = state;
    if (state === "down")
      for (const tell of this.#onLost) tell(new AnaxError("rpc.unavailable", { scheduler: this.target, reason: "lost" }));
    else this.#options.log.info("scheduler.joined", { scheduler: this.target, kind: state });
    this.#options.onChange();
  }
}

function forgetTask(channel: GrpcChannel, task: { readonly hostId: string; readonly taskId: string; readonly timeoutMs: number }): void {
  const { hostId, taskId, timeoutMs } = task;
  // A scheduler that cannot be told finds out from the children's failures.
  channel.unary(SchedulerService.deleteTask, { hostId, taskId }, { timeoutMs }).catch(() => undefined);
}
