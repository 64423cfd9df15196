import type { Clock } from "../../base/clock.ts";
import { AnaxError, errorOf, invariant } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import { parseGrpcAddress } from "../../wire/grpc/address.ts";
import type { ClientTls } from "../../wire/grpc/client.ts";
import { SchedulerService as OwnService, type ExplainTaskResponse } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import type { Task as WireTask } from "../../wire/grpc/gen/common/v2/common.ts";
import { SchedulerService } from "../../wire/grpc/gen/scheduler/v2/scheduler.ts";
import { createHashRing, schedulerOf } from "../model/hash-ring.ts";
import type { PeerId, TaskId } from "../model/ids.ts";
import { announcementOf, type AnnounceOptions, type Announcement } from "./announcement.ts";
import type { Inventory } from "./inventory.ts";
import type { DaemonConfig } from "./config.ts";
import type { HostFacts } from "./host.ts";
import { linkedSignal } from "./linked-signal.ts";
import type { DaemonMetrics } from "./metrics.ts";
import { SchedulerLink, type LinkState } from "./scheduler-link.ts";

export interface SchedulersOptions {
  readonly host: HostFacts;
  readonly inventory: Inventory;
  /** See `AttachOptions`. */
  readonly signingKey?: Uint8Array | undefined;
  readonly config: Pick<DaemonConfig, "schedulers" | "schedulerConnectMs" | "rpcMs" | "announceIntervalMs" | "hostStatsMs">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: DaemonMetrics;
  readonly tls?: ClientTls | undefined;
}

/** All schedulers that this daemon knows. A task belongs to one of those that live; when that one dies, to the next on the ring. */
export class Schedulers implements AsyncDisposable {
  readonly #options: SchedulersOptions;
  #links: readonly SchedulerLink[] = [];
  readonly #addresses: readonly { readonly host: string; readonly port: number }[];
  /** Woken whenever a scheduler comes or goes. */
  readonly #watchers = new Set<() => void>();

  /** Throws `input.invalid` for an address that is none. */
  constructor(options: SchedulersOptions) {
    this.#options = options;
    this.#addresses = options.config.schedulers.map(tcpAddressOf);
    options.metrics.schedulersKnown.set(this.#addresses.length);
    options.metrics.schedulersLive.set(0);
  }

  /** Begins to tell the schedulers of this host, whose ports must be known by now. */
  join(): void {
    invariant(this.#links.length === 0, "schedulers are joined once");
    const onChange = (): void => this.#changed();
    this.#links = this.#addresses.map((address) => new SchedulerLink({ ...this.#options, address, onChange }));
  }

  get states(): readonly { readonly address: string; readonly state: LinkState }[] {
    return this.#links.map(({ target, state }) => ({ address: target, state }));
  }

  /** True when the task's scheduler is a Dragonfly one, which wants a new peer id for every download. */
  isForeign(task: TaskId): boolean {
    return this.#linkOf(task)?.state === "foreign";
  }

  /** A stream for one download, or undefined when no scheduler is there; those not tried yet, or all for `waitMs`, are waited for. */
  async announce(
    task: TaskId,
    peer: PeerId,
    { signal, waitSignal, waitMs, sourceReading }: AnnounceOptions,
  ): Promise<Announcement | undefined> {
    const { host, config } = this.#options;
    await this.#await(() => this.#links.every(({ state }) => state !== "connecting"), config.schedulerConnectMs, waitSignal);
    if (waitMs !== undefined) await this.#await(() => this.#linkOf(task) !== undefined, waitMs, waitSignal);
    const link = this.#linkOf(task);
    if (link === undefined) return undefined;
    const life = linkedSignal(signal);
    const untie = link.onLost((reason) => life.abort(reason)); // a silent scheduler leaves its streams open
    const running = link.runs(task, { peerId: peer, sourceReading });
    const stream = link.converse(life.signal);
    const release = (): void => {
      running[Symbol.dispose]();
      untie[Symbol.dispose]();
      life[Symbol.dispose]();
    };
    return announcementOf(stream, {
      release,
      hostId: host.id,
      taskId: task,
      peerId: peer,
      scheduler: link.target,
      ours: link.state === "ours",
    });
  }

  /** A task was gained, progressed or was dropped; every scheduler hears of it. */
  changed(task: TaskId): void {
    for (const link of this.#links) link.changed(task);
  }

  /** Throws `rpc.unavailable` when no scheduler is there, or the scheduler's error. */
  async statTask(task: TaskId, signal: AbortSignal): Promise<WireTask> {
    const { host, config } = this.#options;
    return this.#need(task).channel.unary(
      SchedulerService.statTask,
      { hostId: host.id, taskId: task },
      { timeoutMs: config.rpcMs, signal },
    );
  }

  async deleteTask(task: TaskId, signal: AbortSignal): Promise<void> {
    const { host, config } = this.#options;
    await this.#need(task).channel.unary(
      SchedulerService.deleteTask,
      { hostId: host.id, taskId: task },
      { timeoutMs: config.rpcMs, signal },
    );
  }

  /** `peer`: the beginning of a peer id, host id or host name; empty: all of them. */
  async explain(task: TaskId, peer: string, signal: AbortSignal): Promise<ExplainTaskResponse> {
    return this.#need(task).channel.unary(OwnService.explain, { taskId: task, peer }, { timeoutMs: this.#options.config.rpcMs, signal });
  }

  /**
   * Says farewell to every scheduler that may know of this host, so that nobody is sent here any more: to one that is just being
   * connected to as well, since it may have heard of us while its answer is still on its way.
   */
  async deleteHost(): Promise<void> {
    const { host, config, log } = this.#options;
    const told = this.#links
      .filter(({ state }) => state !== "down")
      .map((link) => {
        link.expectEnd();
        return link.channel.unary(SchedulerService.deleteHost, { hostId: host.id }, { timeoutMs: config.schedulerConnectMs });
      });
    for (const result of await Promise.allSettled(told)) {
      if (result.status === "rejected") log.debug("scheduler.farewell-failed", { reason: errorOf(result.reason).message });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#links.map((link) => link[Symbol.asyncDispose]()));
  }

  #need(task: TaskId): SchedulerLink {
    const link = this.#linkOf(task);
    if (link !== undefined) return link;
    throw new AnaxError("rpc.unavailable", {
      reason: this.#addresses.length === 0 ? "no scheduler is configured" : "no scheduler answers",
    });
  }

  #linkOf(task: TaskId): SchedulerLink | undefined {
    const live = this.#links.filter((link) => isLive(link) && link.address !== undefined);
    if (live.length <= 1) return live[0]; // no hash is needed to choose among one
    return schedulerOf(createHashRing(live.map((link) => ({ ...link.address!, link }))), task)?.link; // just filtered
  }

  #changed(): void {
    this.#options.metrics.schedulersLive.set(this.#links.filter(isLive).length);
    for (const wake of this.#watchers) wake();
  }

  /** Waits until `holds`, or the time is over. */
  async #await(holds: () => boolean, waitMs: number, signal: AbortSignal): Promise<void> {
    if (holds() || this.#links.length === 0) return;
    using deadline = this.#options.clock.deadline(waitMs, signal);
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = (): void => void ((holds() || deadline.signal.aborted) && resolve());
    this.#watchers.add(look);
    deadline.signal.addEventListener("abort", look, { once: true });
    await promise;
    this.#watchers.delete(look);
    signal.throwIfAborted();
  }
}

const isLive = (link: SchedulerLink): boolean => link.state === "ours" || link.state === "foreign";

function tcpAddressOf(text: string): { readonly host: string; readonly port: number } {
  const address = parseGrpcAddress(text);
  if ("path" in address) throw new AnaxError("input.invalid", { address: text, expected: "host:port" });
  return address;
}
