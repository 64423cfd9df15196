import { AnaxError } from "../../base/errors.ts";
import type { Download } from "../../wire/grpc/gen/common/v2/common.ts";
import type { HostId, PeerId, TaskId } from "../model/ids.ts";
import type { SchedulerConfig } from "./config.ts";
import { PieceSet } from "./piece-set.ts";
import {
  changed,
  isActive,
  isLive,
  nextState,
  type Host,
  type HostFacts,
  type Liveness,
  type Peer,
  type PeerEvent,
  type Task,
} from "./state.ts";

/** All that a scheduler knows, with the indices that decisions need. Changed by the steps only; bounded by the settings. */
export class Cluster {
  readonly config: SchedulerConfig;
  readonly startedAtMs: number;
  readonly hosts = new Map<HostId, Host>();
  readonly tasks = new Map<TaskId, Task>();
  readonly peers = new Map<PeerId, Peer>();
  /** Tasks with a running download: the only ones that a tick looks at. */
  readonly activeTasks = new Set<Task>();
  /** Of the last look at deadlines. */
  lastTickMs: number;
  /** When what is not needed is looked for again. */
  nextSweepMs = 0;

  constructor(config: SchedulerConfig, startedAtMs: number) {
    this.config = config;
    this.startedAtMs = startedAtMs;
    this.lastTickMs = startedAtMs;
  }

  /** The host, made if it is new. Throws `limit.exceeded`. */
  hostOf(facts: HostFacts, liveness: Liveness): Host {
    const known = this.hosts.get(facts.id);
    if (known !== undefined) {
      known.facts = facts;
      known.liveness = liveness;
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
      peers: new Set(),
    };
    this.hosts.set(facts.id, host);
    return host;
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
      digest: undefined,
      tag: undefined,
      application: undefined,
      layout: undefined,
      peers: new Map(),
      waiting: new Set(),
      readers: new Set(),
      trigger: undefined,
      triedSeeds: new Map(),
      sourceReads: 0,
      sourceFailures: 0,
      failure: undefined,
      version: 0,
      dirty: false,
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
      parents: new Set(),
      children: new Set(),
      lostParent: false,
      blocked: new Map(),
      served: new Set(),
      fruitless: 0,
      complaints: new Map(),
      pushedAtMs: -Infinity,
      lastDecision: undefined,
    };
    this.peers.set(id, peer);
    task.peers.set(id, peer);
    host.peers.add(peer);
    changed(task);
    return peer;
  }

  /** Moves a peer on. Throws `input.invalid` when it cannot. What it no longer does in the new state is ended here, whatever led to it. */
  move(peer: Peer, event: PeerEvent, nowMs: number): void {
    peer.state = nextState(peer.state, event);
    peer.updatedAtMs = nowMs;
    peer.task.updatedAtMs = nowMs;
    changed(peer.task);
    if (isActive(peer)) {
      this.activeTasks.add(peer.task);
      return;
    }
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
    peer.task.waiting.delete(peer);
  }

  takePermit(peer: Peer): void {
    if (peer.permit === undefined) return;
    peer.permit = undefined;
    peer.task.readers.delete(peer);
    changed(peer.task);
  }

  /** What the child is offered from now on, in place of what it was offered before. */
  setParents(child: Peer, parents: readonly Peer[]): void {
    const wanted = new Set(parents);
    for (const parent of child.parents) if (!wanted.has(parent)) this.#unlink(child, parent);
    for (const parent of wanted) {
      if (child.parents.has(parent)) continue;
      child.parents.add(parent);
      parent.children.add(child);
      parent.host.childCount++;
    }
  }

  /** Takes the parent from its children. */
  orphan(parent: Peer): void {
    for (const child of parent.children) {
      this.#unlink(child, parent);
      child.lostParent = true;
    }
  }

  removePeer(peer: Peer, nowMs: number): void {
    this.move(peer, "leave", nowMs);
    this.peers.delete(peer.id);
    peer.task.peers.delete(peer.id);
    peer.host.peers.delete(peer);
    changed(peer.task);
  }

  removeHost(host: Host, nowMs: number): void {
    for (const peer of host.peers) this.removePeer(peer, nowMs);
    this.hosts.delete(host.facts.id);
  }

  #unlink(child: Peer, parent: Peer): void {
    child.parents.delete(parent);
    parent.children.delete(child);
    parent.host.childCount--;
    child.task.dirty = true;
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
    this.tasks.delete(oldest.id);
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
