import { ReplyWriter } from "../wire/resp/reply-writer.ts";
import type { Request } from "../wire/resp/request.ts";
import type { Command } from "./commands/command.ts";
import { REPLICATE } from "./replicate.ts";

/** Commands that belong together: what one command, a transaction or a script has changed. Valid during the call only. */
export interface Effects {
  readonly count: number;
  /** All or none of them: more than one command is put between MULTI and EXEC. */
  readonly atomic: boolean;
  /** Number of the database of a command. */
  databaseOf(index: number): number;
  /** Bits of `REPLICATE`: who gets it. */
  targetsOf(index: number): number;
  /** A command as RESP. */
  bytesOf(index: number): Buffer;
  /** Where all commands lie, one behind the other, for those who make no view of each … */
  readonly storage: Buffer;
  /** … and where one ends there. */
  endOf(index: number): number;
}

/** Whoever takes what was changed: the journal, the replicas. */
export interface EffectSink {
  (effects: Effects): void;
  /** Whether it takes what a command has changed that goes on as it came; absent: all of them. */
  wants?(command: Command, request: Request): boolean;
}

/** Gathers what the command that runs changes, as RESP, and hands it on when it is over. */
export class Propagation implements Effects {
  readonly sinks = new Set<EffectSink>();
  readonly #writer = new ReplyWriter();
  readonly #databases: number[] = [];
  readonly #targets: number[] = [];
  readonly #ends: number[] = [];
  atomic = false;
  /** Of what is added from now on: bits of `REPLICATE`. */
  targets: number = REPLICATE.all;

  get count(): number {
    return this.#ends.length;
  }

  databaseOf(index: number): number {
    return this.#databases[index]!;
  }

  targetsOf(index: number): number {
    return this.#targets[index]!;
  }

  bytesOf(index: number): Buffer {
    return this.#writer.view().subarray(index === 0 ? 0 : this.#ends[index - 1], this.#ends[index]);
  }

  get storage(): Buffer {
    return this.#writer.storage;
  }

  endOf(index: number): number {
    return this.#ends[index]!;
  }

  /** Whether anybody takes a command that has run. */
  isWanted(command: Command, request: Request): boolean {
    for (const sink of this.sinks) if (sink.wants === undefined || sink.wants(command, request)) return true;
    return false;
  }

  add(database: number, request: Request): void {
    this.#writer.array(request.count);
    for (let i = 0; i < request.count; i++) this.#writer.bulkBytes(request.bytes, request.offsets[i], request.lengths[i]);
    this.#added(database, this.targets);
  }

  addParts(database: number, parts: readonly (string | Uint8Array)[], targets = this.targets): void {
    writeCommand(this.#writer, parts);
    this.#added(database, targets);
  }

  /** Hands on what was gathered. */
  flush(atomic: boolean): void {
    if (this.#ends.length === 0) return;
    this.atomic = atomic && this.#ends.length > 1;
    for (const sink of this.sinks) sink(this);
    this.#writer.truncate();
    this.#databases.length = 0;
    this.#targets.length = 0;
    this.#ends.length = 0;
  }

  #added(database: number, targets: number): void {
    this.#databases.push(database);
    this.#targets.push(targets);
    this.#ends.push(this.#writer.length);
  }
}

/** A command as RESP. */
export function writeCommand(writer: ReplyWriter, parts: readonly (string | Uint8Array)[]): void {
  writer.array(parts.length);
  for (const part of parts)
    if (typeof part === "string") writer.bulk(part);
    else writer.bulkBytes(part);
}

/** As a rule enough for one. */
const COMMAND_BYTES = 128;

/** The bytes of a command. */
export function commandBytes(...parts: readonly (string | Uint8Array)[]): Buffer {
  const writer = new ReplyWriter(COMMAND_BYTES);
  writeCommand(writer, parts);
  return writer.take();
}

const MULTI = commandBytes("MULTI");
const EXEC = commandBytes("EXEC");

/** Writes effects to a stream that has one database selected at a time: SELECT, MULTI and EXEC where they are needed. */
export class EffectStream {
  readonly #target: number;
  #selected = -1;

  /** A bit of `REPLICATE`: others' effects are left out. */
  constructor(target: number) {
    this.#target = target;
  }

  /** The database that a reader who comes now has to begin with. */
  get database(): number {
    return Math.max(0, this.#selected);
  }

  /** The next command brings its SELECT with it: a new reader begins. */
  restart(): void {
    this.#selected = -1;
  }

  write(effects: Effects, append: (bytes: Buffer) => void): void {
    let wraps = effects.atomic && this.#countOf(effects) > 1;
    const wrapped = wraps;
    for (let index = 0; index < effects.count; index++) {
      if ((effects.targetsOf(index) & this.#target) === 0) continue;
      const database = effects.databaseOf(index);
      if (database !== this.#selected) {
        append(commandBytes("SELECT", String(database)));
        this.#selected = database;
      }
      // After the SELECT that the first command needs, as Redis has it.
      if (wraps) append(MULTI);
      wraps = false;
      append(effects.bytesOf(index));
    }
    if (wrapped) append(EXEC);
  }

  #countOf(effects: Effects): number {
    let count = 0;
    for (let index = 0; index < effects.count; index++) if ((effects.targetsOf(index) & this.#target) !== 0) count++;
    return count;
  }
}
