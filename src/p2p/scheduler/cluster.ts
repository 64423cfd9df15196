import { AnaxError } from "../../base/errors.ts";
import type { Download } from "../../wire/grpc/gen/common/v2/common.ts";
import type { HostId, PeerId, TaskId } from "../model/ids.ts";
import type { SchedulerConfig } from "./config.ts";
import { DecisionTrace } from "./decisions.ts";
import { PieceSet } from "./piece-set.ts";
import { noPlaces, Roster } from "./roster.ts";
import { SourceBudget } from "./source-budget.ts";
import {
  beDue,
  isActive,
  isLive,
  NEVER,
  nextState,
  notDue,
  peersOf,
  type Host,
  type HostFacts,
  type Liveness,
  type Peer,
  type PeerEvent,
  type Task,
  type Trigger,
} from "./state.ts";

/** All that a scheduler knows, with the indices that decisions need. Changed by the steps only; bounded by the settings. */
export class Cluster {
  readonly config: SchedulerConfig;
  readonly startedAtMs: number;
  readonly hosts = new Map<HostId, Host>();
  readonly tasks = new Map<TaskId, Task>();
  readonly peers = new Map<PeerId, Peer>();
  /** Where peers changed; to be worked out before the step ends. */
  readonly noted = new Set<Roster>();
  /** Live hosts that are not ours, and hosts that are there to serve. */
  readonly foreignHosts = new Set<Host>();
  readonly seeds = new Set<Host>();
  /** Tasks with a running download: the only ones that a tick looks at. */
  readonly activeTasks = new Set<Task>();
  readonly budget: SourceBudget;
  readonly trace: DecisionTrace;
  /** Of the last look at deadlines. */
  lastTickMs: number;
  /** When what is not needed is looked for again. */
  nextSweepMs = 0;

  constructor(config: SchedulerConfig, startedAtMs: number) {
    this.config = config;
    this.budget = new SourceBudget(config);
    this.trace = new DecisionTrace({ perTaskMax: config.decisionsPerTaskMax, max: config.decisionsMax });
    this.startedAtMs = startedAtMs;
    this.lastTickMs = startedAtMs;
  }

  /** The host, made if it is new. Throws `limit.exceeded`. */
  hostOf(facts: HostFacts, liveness: Liveness): Host {
    const known = this.hosts.get(facts.id);
    if (known !== undefined) {
      known.facts = facts;
      known.liveness = liveness;
      this.hostChanged(known);
      return known;
    }
    if (this.hosts.size >= this.config.hostsMax && !this.#forgetSilentHost()) throw full("hosts", this.config.hostsMax);
    const host: Host = {
      facts,
      liveness,
      sessionId: undefined,
      instanceId: undefined,
      signingKey: undefined,
      uploadsInFlight: 0,
      uploadSlots: undefined,
      childCount: 0,
      troubledUntilMs: 0,
      peers: new Map(),
      due: new Set(),
    };
    this.hosts.set(facts.id, host);
    this.hostChanged(host);
    return host;
  }

  /** To be called whenever what a host is, or whether it lives, has changed. */
  hostChanged(host: Host): void {
    const isHere = this.hosts.get(host.facts.id) === host;
    put(this.foreignHosts, host, isHere && isLive(host) && host.instanceId === undefined);
    put(this.seeds, host, isHere && host.facts.seed);
    for (const peer of peersOf(host)) peer.task.roster.note(peer);
  }

  /** The task, made if it is new. Throws `limit.exceeded`. */
  taskOf(id: TaskId, nowMs: number): Task {
    const known = this.tasks.get(id);
    if (known !== undefined) return known;
    if (this.tasks.size >= this.config.tasksMax && !this.#forgetIdleTask()) throw full("tasks", this.config.tasksMax);
    const task: Task = {
      id,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
      url: "",
      origin: "",
      digest: undefined,
      tag: undefined,
      application: undefined,
      layout: undefined,
      peers: new Map(),
      waiting: new Set(),
      readers: new Set(),
      trigger: undefined,
      triedSeeds: new Map(),
      sourceRanges: false,
      spans: [],
      shareDue: false,
      sourceReads: 0,
      sourceFailures: 0,
      failure: undefined,
      activeCount: 0,
      succeededCount: 0,
      roster: new Roster(this.noted),
      due: new Set(),
      readerKeys: [],
      readerKeysVersion: 0,
      notes: [],
    };
    this.tasks.set(id, task);
    return task;
  }

  /** The peer, made if it is new. Throws `limit.exceeded`, or `input.invalid` when the id belongs to another host or task. */
  peerOf(id: PeerId, host: Host, task: Task, nowMs: number): Peer {
    const known = this.peers.get(id);
    if (known !== undefined) {
      if (known.host !== host || known.task !== task)
        throw new AnaxError("input.invalid", { reason: "the peer id is another download's", peerId: id });
      return known;
    }
    if (this.peers.size >= this.config.peersMax && !this.#forgetFailedPeer()) throw full("peers", this.config.peersMax);
    const peer: Peer = {
      id,
      task,
      host,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
      state: "pending",
      order: undefined,
      streamId: undefined,
      pieces: new PieceSet(),
      layout: undefined,
      waitingSinceMs: undefined,
      permit: undefined,
      sourceError: undefined,
      parents: undefined,
      children: undefined,
      neighbours: [],
      introduced: false,
      keysTold: NEVER,
      filing: { parent: undefined, trader: undefined, rack: host.facts.place.rack, places: noPlaces() },
      blocked: undefined,
      served: undefined,
      gained: false,
      fruitless: 0,
      complaints: undefined,
      pushableAtMs: -Infinity,
      lastDecision: undefined,
      denied: undefined,
    };
    this.peers.set(id, peer);
    task.peers.set(id, peer);
    host.peers.set(task, [...(host.peers.get(task) ?? []), peer]);
    task.roster.note(peer);
    return peer;
  }

  /** Moves a peer on. Throws `input.invalid` when it cannot. What it no longer does in the new state is ended here, whatever led to it. */
  move(peer: Peer, event: PeerEvent, nowMs: number): void {
    const { task } = peer;
    const to = nextState(peer.state, event);
    task.activeCount -= isActive(peer) ? 1 : 0;
    task.succeededCount += (to === "succeeded" ? 1 : 0) - (peer.state === "succeeded" ? 1 : 0);
    peer.state = to;
    task.activeCount += isActive(peer) ? 1 : 0;
    peer.updatedAtMs = nowMs;
    task.updatedAtMs = nowMs;
    task.roster.note(peer);
    if (isActive(peer)) {
      this.activeTasks.add(task);
      return;
    }
    notDue(peer);
    this.stopWaiting(peer);
    this.takePermit(peer);
    this.setParents(peer, []);
    if (peer.order !== undefined) peer.order = withoutSecrets(peer.order);
    if (peer.state === "failed" || peer.state === "left") this.orphan(peer);
  }

  startWaiting(peer: Peer, nowMs: number): void {
    if (peer.waitingSinceMs !== undefined) return;
    peer.waitingSinceMs = nowMs;
    peer.task.waiting.add(peer);
  }

  stopWaiting(peer: Peer): void {
    peer.waitingSinceMs = undefined;
    peer.denied = undefined;
    peer.task.waiting.delete(peer);
  }

  startTrigger(task: Task, trigger: Omit<Trigger, "origin">): void {
    this.endTrigger(task);
    this.budget.take(task);
    task.trigger = { ...trigger, origin: task.origin };
  }

  endTrigger(task: Task): void {
    if (task.trigger === undefined) return;
    this.budget.give(task.trigger.origin);
    task.trigger = undefined;
  }

  takePermit(peer: Peer): void {
    if (peer.permit === undefined) return;
    this.budget.give(peer.permit.origin);
    peer.permit = undefined;
    peer.task.readers.delete(peer);
    peer.task.roster.note(peer);
  }

  /** What the child is offered from now on, in place of what it was offered before. */
  setParents(child: Peer, parents: readonly Peer[]): void {
    if (parents.length === 0 && child.parents === undefined) return;
    const wanted = new Set(parents);
    child.parents ??= new Set();
    for (const parent of child.parents) if (!wanted.has(parent)) this.#unlink(child, parent);
    for (const parent of wanted) {
      if (child.parents.has(parent)) continue;
      child.parents.add(parent);
      (parent.children ??= new Set()).add(child);
      parent.host.childCount++;
    }
  }

  /** Takes the parent from its children. */
  orphan(parent: Peer): void {
    for (const child of parent.children ?? []) {
      this.#unlink(child, parent);
      beDue(child);
    }
  }

  removePeer(peer: Peer, nowMs: number): void {
    this.move(peer, "leave", nowMs);
    this.peers.delete(peer.id);
    peer.task.peers.delete(peer.id);
    const others = (peer.host.peers.get(peer.task) ?? []).filter((one) => one !== peer);
    if (others.length > 0) peer.host.peers.set(peer.task, others);
    else peer.host.peers.delete(peer.task);
    peer.task.roster.note(peer);
  }

  /** One without peers. */
  forgetTask(task: Task): void {
    this.tasks.delete(task.id);
    this.budget.forget(task);
    this.trace.forget(task.id);
  }

  removeHost(host: Host, nowMs: number): void {
    for (const peer of peersOf(host)) this.removePeer(peer, nowMs);
    this.hosts.delete(host.facts.id);
    this.hostChanged(host);
  }

  #unlink(child: Peer, parent: Peer): void {
    child.parents?.delete(parent);
    parent.children?.delete(child);
    parent.host.childCount--;
  }

  #forgetSilentHost(): boolean {
    const oldest = minBy(this.hosts.values(), (host) => (host.liveness.kind === "silent" ? host.liveness.sinceMs : undefined));
    if (oldest === undefined) return false;
    this.removeHost(oldest, oldest.liveness.kind === "silent" ? oldest.liveness.sinceMs : 0);
    return true;
  }

  #forgetIdleTask(): boolean {
    const oldest = minBy(this.tasks.values(), (task) => (this.activeTasks.has(task) ? undefined : task.updatedAtMs));
    if (oldest === undefined) return false;
    for (const peer of oldest.peers.values()) this.removePeer(peer, oldest.updatedAtMs);
    this.forgetTask(oldest);
    return true;
  }

  #forgetFailedPeer(): boolean {
    const oldest = minBy(this.peers.values(), (peer) => (isUseless(peer) && peer.streamId === undefined ? peer.updatedAtMs : undefined));
    if (oldest === undefined) return false;
    this.removePeer(oldest, oldest.updatedAtMs);
    return true;
  }
}

const isUseless = (peer: Peer): boolean => peer.state === "failed" || (!isActive(peer) && !isLive(peer.host));

/** Credentials are kept no longer than a download needs them. */
const withoutSecrets = (order: Download): Download => ({
  ...order,
  requestHeader: {},
  certificateChain: [],
  objectStorage: undefined,
  hdfs: undefined,
  huggingFace: undefined,
  modelScope: undefined,
});

function put<T>(set: Set<T>, item: T, inside: boolean): void {
  if (inside) set.add(item);
  else set.delete(item);
}

const full = (what: string, max: number): AnaxError => new AnaxError("limit.exceeded", { what, max });

/** The item with the lowest key; those without a key do not take part. */
function minBy<T>(items: Iterable<T>, keyOf: (item: T) => number | undefined): T | undefined {
  let best: T | undefined;
  let bestKey = Infinity;
  for (const item of items) {
    const key = keyOf(item);
    if (key === undefined || key >= bestKey) continue;
    best = item;
    bestKey = key;
  }
  return best;
}
