import { randomBytes } from "node:crypto";
import type { MakeMemory } from "../disk/huge-pages.ts";
import type { Clock } from "../base/clock.ts";
import type { Request } from "../wire/resp/request.ts";
import type { RequestLimits } from "../wire/resp/request-parser.ts";
import { readFileSync } from "node:fs";
import { Acl } from "./acl/acl.ts";
import { dropListeners } from "./acl/check.ts";
import { CommandError } from "./command-error.ts";
import type { Cluster } from "./cluster/start-cluster.ts";
import { BlockedClients } from "./clients/blocking.ts";
import type { Client, EventClass } from "./clients/client.ts";
import type { Listeners } from "./clients/listeners.ts";
import type { Command, CommandFlag } from "./commands/command.ts";
import type { CommandTable } from "./commands/table.ts";
import { Eviction } from "./eviction.ts";
import { Database, type DatabaseEvents } from "./keyspace/database.ts";
import { lfuUse, lruUse } from "./keyspace/usage.ts";
import { defaultParameters, type ParameterName, type ParameterValues } from "./parameters/parameters.ts";
import type { InfoSection } from "./info/sections.ts";
import type { Holding } from "./slots/holding.ts";
import type { Migrations } from "./slots/migration/migrations.ts";
import { Latencies } from "./info/latencies.ts";
import { parseNotifyFlags, type NotifyFlags } from "./parameters/notify-flags.ts";
import { OomScore } from "./info/oom-score.ts";
import { outputLimitsOf, type OutputClass, type OutputLimit } from "./parameters/parameter-forms.ts";
import type { Pause, PauseReason } from "./clients/pause.ts";
import { REPLY_PEAK_MS } from "./clients/client-upkeep.ts";
import type { Persistence } from "./persist/persistence.ts";
import { Snapshots } from "./persist/snapshot.ts";
import { Propagation } from "./propagation.ts";
import { PubSub } from "./clients/pubsub.ts";
import { Rates } from "./info/rates.ts";
import type { Replication } from "./replica/replication.ts";
import { Waits } from "./replica/waits.ts";
import { Scripting } from "./scripting/scripting.ts";
import type { Shutdown } from "./shutdown.ts";
import { SlowLog } from "./info/slow-log.ts";
import { Statistics } from "./info/statistics.ts";
import { TrackingTable } from "./clients/tracking.ts";
import { Watches } from "./clients/transaction.ts";

/** How far the reading of data has come. */
export interface Loading {
  readonly startedMs: number;
  totalBytes: number;
  loadedBytes: number;
}

/** Why a command with these flags is not run now though it could be; undefined: it is. */
export type Gate = (client: Client, flags: readonly CommandFlag[]) => string | undefined;

/** Lets replies wait until the journal has what they tell of. */
export interface ReplyHold {
  /** Before replies of this client are sent: writes what can be written at once. True: the replies have to wait. */
  mustWait(client: Client): boolean;
  /** Calls back once they need not wait any longer, in the order of the calls. */
  wait(client: Client, resume: () => void): void;
  /** So much waits for the disk that nothing more should be read of a client whose replies wait. */
  readonly full: boolean;
}

/** What one server is: its data, and everybody who has to do with it. One thread. */
export class Store {
  readonly clock: Clock;
  readonly commands: CommandTable;
  readonly parameters: ParameterValues;
  readonly databases: Database[] = [];
  readonly clients = new Map<number, Client>();
  readonly watches = new Watches();
  readonly blocked = new BlockedClients();
  readonly eviction = new Eviction(this);
  /** Hands on what is changed, to the journal and to replicas. */
  readonly propagation = new Propagation();
  /** Asked before each command, in the order in which they came. */
  readonly gates = new Set<Gate>();
  readonly startedMs: number;
  /** Unix milliseconds, the same all through a command. */
  nowMs = 0;
  /** Monotonic milliseconds of the last look at the clock. */
  lookedMs = 0;
  /** What is between that clock and the wall's. */
  #aheadMs = 0;
  #batching = false;
  /** Changes since the last snapshot. */
  dirty = 0;
  /** What journal and replicas get instead of the command that runs. */
  effects: (readonly (string | Uint8Array)[])[] | undefined;
  statistics = new Statistics();
  readonly rates = new Rates();
  /** Sections of INFO that others than this room's defaults know: persistence, replication, … */
  readonly infoSections = new Map<string, InfoSection>();
  readonly slowLog = new SlowLog();
  readonly latencies = new Latencies();
  readonly monitors = new Set<Client>();
  /** Keys whose time has come are deleted without being asked for; DEBUG may stop that. */
  expiresActively = true;
  /** Each reason's own, … */
  readonly pauses = new Map<PauseReason, Pause>();
  /** … and what they are together. */
  pause: Pause | undefined;
  pauseTimer: Disposable | undefined;
  readonly paused = new Set<Client>();
  /** Nothing is done by the clock: a test wants it so. */
  cronPaused = false;
  /** Reply buffers of clients are made smaller, where they were not needed, each time that has passed. */
  replyPeakMs = REPLY_PEAK_MS;
  /** Scripts may call what they may not otherwise: a test wants it so. */
  scriptsMayAll = false;
  /** Checksums of RESTORE and of files are not looked at: a test wants it so. */
  skipsChecksums = false;
  /** Subcommands of DEBUG that other families have. */
  readonly debug = new Map<string, (client: Client, request: Request) => void>();
  /** When the command that runs began, more memory was used than `maxmemory` allows and nothing could go. */
  outOfMemory = false;
  /** Somebody wants to know of events in the keyspace: `notify-keyspace-events` is not empty. */
  notifies = false;
  /** Identity of this run: 40 hexadecimal digits. */
  readonly runId = randomBytes(20).toString("hex");
  /** Identity of the history of changes, for replicas. */
  replicationId = randomBytes(20).toString("hex");
  peakMemoryBytes = 0;
  /** Where it listens, as far as it does. */
  listeners: Listeners | undefined;
  /** The file that the parameters came from; empty: none. */
  configFile = "";
  /** Undefined where clients may not end the server. */
  shutdown: Shutdown | undefined;
  readonly acl: Acl;
  readonly tracking = new TrackingTable(this);
  readonly pubsub = new PubSub();
  readonly scripting = new Scripting(this);
  /** Bytes that may wait to be sent to a client, by its class. */
  outputLimits: Readonly<Record<OutputClass, OutputLimit>> = outputLimitsOf(defaultParameters()["client-output-buffer-limit"]);
  /** Parameters that every command asks for, here as the table of all of them is too large for V8 to be quick. */
  clientBytesMax = 0;
  tracksLatency = false;
  slowUs = 0;
  latencyThresholdMs = 0;
  /** What a connection may send. */
  requestLimits: RequestLimits = { bulkBytesMax: 0, pendingBytesMax: 0 };
  readonly #oomScore = new OomScore();
  /** All keys at one moment, for a file or a replica. */
  readonly snapshots = new Snapshots(this);
  /** Undefined for a store that keeps nothing. */
  persistence: Persistence | undefined;
  /** Asked before replies are sent; undefined: there is no journal. */
  hold: ReplyHold | undefined;
  /** Data is being read from disk: commands have to wait. */
  loading: Loading | undefined;
  /** Undefined for a store that is alone. */
  cluster: Cluster | undefined;
  /** Slots that move from and to this node; undefined for a store that is alone. */
  migrations: Migrations | undefined;
  /** Undefined for a store without a network. */
  replication: Replication | undefined;
  /** Clients that wait for replicas or the disk. */
  readonly waits = new Waits();
  /** This server has a part of the history that `replicationId` names, up to `replicationOffset`: it can ask another to go on from there. */
  knowsHistory = false;
  /** Bytes of the history of changes so far, as replicas count them. */
  replicationOffset = 0;
  /** Slots that have moved here were put in place so often; and as often by what the file of SAVE, or the base of the journal, has; and files that the journal names. */
  readonly promotions = { last: 0, saved: 0, files: new Set<string>() };
  /** Which moved slots the data have, as the primary of the shard has said; undefined: nobody has, as where there is no cluster. */
  holding: Holding | undefined;
  /** Bytes of the journal so far. */
  journalOffset = 0;
  readonly #enoughReplicas: Gate = (_, flags) =>
    flags.includes("write") &&
    this.replication?.link === undefined &&
    (this.replication?.primary.goodCount ?? 0) < this.parameters["min-replicas-to-write"]
      ? "NOREPLICAS Not enough good replicas to write."
      : undefined;
  #notifyFlags: NotifyFlags = parseNotifyFlags("");
  #clientId = 0;
  #replyPeakAtMs = 0;

  constructor(options: {
    readonly clock: Clock;
    readonly commands: CommandTable;
    readonly parameters?: Partial<ParameterValues>;
    readonly makeMemory?: MakeMemory;
  }) {
    this.clock = options.clock;
    this.commands = options.commands;
    this.acl = new Acl(options.commands);
    this.parameters = { ...defaultParameters(), ...options.parameters };
    if (this.parameters.requirepass !== "") this.acl.setPassword(this.parameters.requirepass);
    this.nowMs = this.startedMs = this.clock.wallMs();
    const events: DatabaseEvents = {
      expired: (db, key) => this.#expired(db, key),
      mayGrow: (bytes) => this.parameters.maxmemory === 0 || this.usedBytes + bytes <= this.parameters.maxmemory,
      makeMemory: options.makeMemory,
      added: (db, key) => this.notify("n", "new", key, db),
      missed: (db, request, at) => {
        if (this.notifies) this.notify("m", "keymiss", request.text(at), db);
      },
    };
    const bySlot = this.parameters["cluster-enabled"];
    for (let index = 0; index < this.parameters.databases; index++) {
      const db = new Database(index, events, { bySlot });
      db.nowMs = this.nowMs;
      this.databases.push(db);
    }
    this.#apply();
    this.#countUses();
  }

  /** Memory of all keys with what they hold, counted as it changes. */
  get usedBytes(): number {
    let bytes = 0;
    for (const db of this.databases) bytes += db.usedBytes;
    return bytes;
  }

  /** Somebody wants to know of each key that changes. */
  get watchful(): boolean {
    return this.watches.any || this.blocked.count > 0 || this.tracking.count > 0;
  }

  nextClientId(): number {
    return ++this.#clientId;
  }

  /** True once in each time after which reply buffers are made smaller. */
  replyPeakDue(): boolean {
    if (this.lookedMs - this.#replyPeakAtMs < this.replyPeakMs) return false;
    this.#replyPeakAtMs = this.lookedMs;
    return true;
  }

  /** Time goes on; within a command it stands. */
  tick(): void {
    this.lookedMs = this.clock.nowMs();
    const wallMs = this.clock.wallMs();
    this.#aheadMs = wallMs - this.lookedMs;
    this.#setNow(wallMs);
  }

  /** Commands come together: asking the system for the time takes about as long as a short one, so that is done once, and at the end of each. */
  beginBatch(): void {
    // A script that takes too long lets others in, and time stands for it.
    if (this.scripting.running !== undefined) return;
    this.tick();
    this.#batching = true;
  }

  endBatch(): void {
    this.#batching = false;
  }

  /** Before a command. */
  advance(): void {
    if (this.#batching) this.#setNow(Math.floor(this.lookedMs + this.#aheadMs));
    else this.tick();
  }

  /** Monotonic milliseconds; remembers them for what begins now. */
  look(): number {
    return (this.lookedMs = this.clock.nowMs());
  }

  #setNow(nowMs: number): void {
    if (nowMs === this.nowMs) return;
    this.nowMs = nowMs;
    for (const db of this.databases) db.nowMs = nowMs;
  }

  /** A key was changed, by this client if by any. */
  keyChanged(db: Database, key: string, by?: Client): void {
    if (this.tracking.count > 0) this.tracking.changed(key, by?.caller ?? by);
    if (this.watches.any) this.watches.changed(db, key);
    if (this.blocked.count > 0) this.blocked.changed(db, key);
  }

  /** This server follows another, or leads. */
  roleChanged(): void {
    this.settleExpiry();
    if (this.parameters["oom-score-adj"] !== "no") this.#oomScore.apply(this.parameters, this.replication?.link !== undefined);
  }

  /** Who leads and whether writes are paused decides what is done with keys whose time has come: a replica is told, and in a pause nothing changes. */
  settleExpiry(): void {
    const mode = this.replication?.link !== undefined || this.pause !== undefined ? "hide" : "delete";
    for (const db of this.databases) db.expiryMode = mode;
  }

  /** Deletes all keys of a database. */
  flush(db: Database): void {
    this.watches.replaced(db, () => false);
    if (!this.snapshots.flushing(db)) db.clear();
    if (this.tracking.count > 0) this.tracking.flushed();
    this.blocked.changedAll(db);
    this.dirty++;
  }

  /** Two databases change places, for everybody who has one of them selected. */
  swap(a: Database, b: Database): void {
    const watched = (db: Database, other: Database): void => this.watches.replaced(db, (key) => other.peekText(key) !== 0);
    watched(a, b);
    watched(b, a);
    a.swapWith(b);
    this.snapshots.swapped(a, b);
    this.blocked.changedAll(a);
    this.blocked.changedAll(b);
    this.dirty++;
  }

  /** Parameters have other values now. Throws a `CommandError` where they cannot be. */
  parametersChanged(names: readonly ParameterName[]): void {
    if (names.some((name) => name.startsWith("oom-score-adj"))) this.#oomScore.apply(this.parameters, this.replication?.link !== undefined);
    this.#apply();
    if (names.includes("repl-backlog-size")) this.replication?.primary.parametersChanged();
    if (names.some((name) => name.startsWith("cluster-announce-"))) this.cluster?.announce();
    if (names.includes("cluster-require-full-coverage")) this.cluster?.node.settle();
    if (names.includes("appendonly")) this.persistence?.journalSwitched();
    if (names.some((name) => name === "maxmemory-policy" || name.startsWith("lfu-"))) this.#countUses();
    if (names.includes("maxmemory")) this.eviction.makeRoomSoon(); // not within a transaction
    if (names.includes("requirepass")) this.acl.setPassword(this.parameters.requirepass);
  }

  /** The default user has another password than `requirepass` says. */
  passwordChanged(): void {
    this.parameters.requirepass = "";
  }

  /** Takes the users of a file. Throws a `CommandError`: `ERR …`. */
  loadUsers(file: string, by?: Client): void {
    let text: string;
    try {
      text = readFileSync(file, "latin1");
    } catch (cause) {
      throw new CommandError(`ERR Error loading ACLs, opening file '${file}': ${(cause as Error).message}`);
    }
    this.acl.load(text, file);
    for (const client of Array.from(this.clients.values())) {
      if (client.user === this.acl.default) dropListeners([client], client.user);
      else if (client === by) client.closing = true;
      else client.output.close(); // whom the file means by the same name may be somebody else
    }
  }

  #apply(): void {
    const { parameters } = this;
    this.clientBytesMax = parameters["maxmemory-clients"];
    this.tracksLatency = parameters["latency-tracking"];
    this.slowUs = parameters["slowlog-log-slower-than"];
    this.latencyThresholdMs = parameters["latency-monitor-threshold"];
    this.requestLimits = { bulkBytesMax: parameters["proto-max-bulk-len"], pendingBytesMax: parameters["client-query-buffer-limit"] };
    if (this.parameters["min-replicas-to-write"] > 0 && this.parameters["min-replicas-max-lag"] > 0) this.gates.add(this.#enoughReplicas);
    else this.gates.delete(this.#enoughReplicas);
    this.#notifyFlags = parseNotifyFlags(this.parameters["notify-keyspace-events"]);
    this.notifies = this.#notifyFlags.classes.size > 0 && (this.#notifyFlags.keyspace || this.#notifyFlags.keyevent);
    for (const db of this.databases) db.tellsAdded = this.notifies && this.#notifyFlags.classes.has("n");
    this.outputLimits = outputLimitsOf(this.parameters["client-output-buffer-limit"]);
    this.acl.allChannels = this.parameters["acl-pubsub-default"] === "allchannels";
    this.acl.limitLog(this.parameters["acllog-max-len"]);
    this.slowLog.limit(this.parameters["slowlog-max-len"]);
  }

  /** Which keys are used is remembered in the way that the policy needs. */
  #countUses(): void {
    const { parameters } = this;
    const lfu = parameters["maxmemory-policy"].endsWith("-lfu");
    const useOf = lfu
      ? lfuUse(this, { logFactor: parameters["lfu-log-factor"], decayMinutes: parameters["lfu-decay-time"] })
      : lruUse(this);
    for (const db of this.databases) db.useOf = useOf;
    this.eviction.policyChanged();
  }

  resetStatistics(): void {
    this.statistics = new Statistics();
    for (const db of this.databases) db.hits = db.misses = 0;
  }

  /** Tells those who listen to events of the keyspace. */
  notify(kind: EventClass, event: string, key: string, db: Database): void {
    const { classes, keyspace, keyevent } = this.#notifyFlags;
    if (!classes.has(kind)) return;
    if (keyspace) this.pubsub.publish(`__keyspace@${db.index}__:${key}`, event);
    if (keyevent) this.pubsub.publish(`__keyevent@${db.index}__:${event}`, key);
  }

  /** Hands a change on to journal and replicas. */
  propagate(db: Database, command: Command, request: Request): void {
    const { effects, propagation } = this;
    this.effects = undefined;
    if (propagation.sinks.size === 0) return;
    if (effects === undefined) {
      if (propagation.isWanted(command, request)) propagation.add(db.index, request);
    } else for (const parts of effects) propagation.addParts(db.index, parts);
  }

  /** Why this may not be done now; undefined: it may. */
  refusalOf(client: Client, flags: readonly CommandFlag[]): string | undefined {
    if (client.isPrimary) return undefined;
    for (const gate of this.gates) {
      const refusal = gate(client, flags);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  }

  /** Hands on what serving a blocked client has changed. */
  propagateEffects(db: Database): void {
    const { effects = [] } = this;
    this.effects = undefined;
    for (const parts of effects) this.propagateParts(db, parts);
  }

  /** Hands on a change that no command of its own has made. */
  propagateParts(db: Database, parts: readonly (string | Uint8Array)[], targets?: number): void {
    if (this.propagation.sinks.size > 0) this.propagation.addParts(db.index, parts, targets);
  }

  #expired(db: Database, key: string): void {
    this.statistics.expiredKeys++;
    this.keyChanged(db, key);
    if (this.notifies) this.notify("x", "expired", key, db);
    this.propagateParts(db, ["DEL", key]);
  }
}
