import type { Command } from "../../commands/command.ts";
import { keysOf, soleKeyIndex } from "../../commands/found-keys.ts";
import { SLOT_COUNT, slotOfBytes } from "../../keyspace/key-slot.ts";
import type { Database } from "../../keyspace/database.ts";
import { CommandReader } from "../../persist/journal/journal-parser.ts";
import type { Effects, EffectSink } from "../../propagation.ts";
import type { Store } from "../../store.ts";
import type { Request } from "../../../wire/resp/request.ts";
import { EntryWriter } from "./entries.ts";

/** One step of the walk takes about so long, then others have their turn: … */
const STEP_MS = 1;
/** … so long, where clients give commands, and where they give many: what they ask for waits little then, and the processor is theirs. */
const REST_MS = 1;
const LONG_REST_MS = 3;
const COMMANDS_MANY = 8;
const KEYS_PER_LOOK = 16;
/** Entries are handed on together: at the end of a turn, or when they are so many bytes. */
const PAYLOAD_BYTES = 64 * 1024;

/** How far the walk has come in a slot: what is changed in one that it has not begun, it will meet as it is by then. */
const NOW = 0;
const WALKED = 1;
const NOT_BEGUN = 2;
const NOT_MOVING = 3;

export interface CopyEvents {
  entry(payload: Buffer, keys: number): void;
  walked(): void;
}

/**
 * What a target gets of moving slots, in one order: each key as it is when the walk comes to it, or just before it is first changed in the slot where the walk is; and whatever is
 * written in slots where the walk has been.
 */
export class Copy implements Disposable {
  readonly #store: Store;
  readonly #db: Database;
  readonly #slots: readonly number[];
  readonly #states = new Uint8Array(SLOT_COUNT).fill(NOT_MOVING);
  readonly #events: CopyEvents;
  readonly #entries = new EntryWriter();
  readonly #reader = new CommandReader();
  readonly #sink: EffectSink;
  /** Of `#slots`, where the walk is; and in it. */
  #at = 0;
  #cursor = 0;
  #begun = false;
  #budget = 0;
  #stepping = false;
  /** That clients had given when the last step was ordered. */
  #commands = 0;
  #flushing = false;
  #ended = false;

  constructor(store: Store, slots: readonly number[], events: CopyEvents) {
    this.#store = store;
    this.#db = store.databases[0]!; // a cluster has one
    this.#slots = slots;
    this.#events = events;
    for (const slot of slots) this.#states[slot] = NOT_BEGUN;
    this.#sink = Object.assign((effects: Effects) => this.#written(effects), {
      wants: (command: Command, request: Request) => this.#wants(command, request),
    });
    store.propagation.sinks.add(this.#sink);
  }

  /** Goes on until so many bytes more were made. */
  walk(bytes: number): void {
    this.#budget = bytes;
    if (this.#stepping) return;
    this.#stepping = true;
    const { clock, statistics } = this.#store;
    const commands = statistics.commandsProcessed - this.#commands;
    this.#commands = statistics.commandsProcessed;
    if (commands === 0) setImmediate(() => this.#step());
    else clock.timer(commands < COMMANDS_MANY ? REST_MS : LONG_REST_MS, () => this.#step());
  }

  #step(): void {
    this.#stepping = false;
    if (this.#ended || this.#at === this.#slots.length) return;
    const { clock } = this.#store;
    const untilMs = clock.nowMs() + STEP_MS;
    const before = this.#entries.bytes;
    for (let steps = 1; this.#at < this.#slots.length; steps++) {
      this.#walkSome(this.#slots[this.#at]!);
      if (this.#entries.bytes - before >= Math.min(this.#budget, PAYLOAD_BYTES)) break;
      if (steps % KEYS_PER_LOOK === 0 && clock.nowMs() > untilMs) break;
    }
    this.#budget -= this.#entries.bytes - before;
    const walked = this.#at === this.#slots.length;
    this.flush();
    if (this.#ended) return; // what was handed on may have ended it
    if (walked) this.#events.walked();
    else if (this.#budget > 0 && !this.#stepping) this.walk(this.#budget);
  }

  #walkSome(slot: number): void {
    const db = this.#db;
    if (!this.#begun) {
      this.#begun = true;
      this.#states[slot] = NOW;
      db.beginWalk(slot, (address) => this.#entries.key(db, address));
    }
    this.#cursor = db.scanSlot(slot, this.#cursor, (address) => db.walk(address));
    if (this.#cursor !== 0) return;
    db.endWalk(slot);
    this.#states[slot] = WALKED;
    this.#begun = false;
    this.#at++;
  }

  /** Most of what is written while slots are walked is of others, or will be met. */
  #wants(command: Command, request: Request): boolean {
    const index = soleKeyIndex(command);
    return index < 0 || index >= request.count || this.#stateOf(request, index) <= WALKED;
  }

  #stateOf({ bytes, offsets, lengths }: Request, index: number): number {
    return this.#states[slotOfBytes(bytes, offsets[index]!, lengths[index]!)]!;
  }

  #written(effects: Effects): void {
    const { storage } = effects;
    let from = 0;
    for (let index = 0; index < effects.count; index++) {
      const end = effects.endOf(index);
      const parsed = this.#reader.restart(from).read(storage);
      if (typeof parsed === "object" && parsed.request !== undefined) this.#one(parsed.request, from, end);
      from = end;
    }
    if (this.#entries.bytes > PAYLOAD_BYTES) this.flush();
    else if (this.#entries.bytes > 0 && !this.#flushing) {
      this.#flushing = true;
      setImmediate(() => this.flush());
    }
  }

  #one(request: Request, from: number, end: number): void {
    const command = this.#store.commands.find(request);
    if (command === undefined) return;
    if (command.name === "flushall" || command.name === "flushdb") return this.#entries.clear();
    const sole = soleKeyIndex(command);
    const keys = sole < 0 ? keysOf(command, request) : [];
    const first = sole < 0 ? keys[0]?.index : sole;
    if (first === undefined) return;
    const state = this.#stateOf(request, first);
    if (state === NOT_MOVING || state === NOT_BEGUN) return;
    if (state === NOW && keys.length > 1) for (const { index } of keys) this.#bring(request.text(index));
    this.#entries.command(request.bytes, from, end);
  }

  /** A key that a command has only read: the target needs it to run the same. Those that it has changed were met before. */
  #bring(key: string): void {
    const db = this.#db;
    const { expiryMode } = db;
    db.expiryMode = "keep"; // looking must not change anything here
    const address = db.peekText(key);
    db.expiryMode = expiryMode;
    if (address !== 0) db.walk(address);
  }

  /** A payload has left: its buffer may be filled again. */
  sent(payload: Buffer): void {
    this.#entries.giveBack(payload);
  }

  /** Hands on what is there. */
  flush(): void {
    this.#flushing = false;
    if (this.#ended || this.#entries.bytes === 0) return;
    const { payload, keys } = this.#entries.take();
    this.#events.entry(payload, keys);
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#store.propagation.sinks.delete(this.#sink);
    if (this.#begun) this.#db.endWalk(this.#slots[this.#at]!);
  }
}
