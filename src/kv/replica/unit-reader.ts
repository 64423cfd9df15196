import type { Request } from "../../wire/resp/request.ts";
import { CommandReader } from "../persist/journal/journal-parser.ts";

/** What a stream of commands has that is applied as one: a command, or a transaction from MULTI to EXEC. Valid until more bytes are pushed. */
export interface Unit {
  readonly requests: readonly Request[];
  readonly bytes: Buffer;
}

/** Cuts a stream into units, from pieces of any size. However large a unit and small the pieces, nothing is read twice and each byte copied a few times at most. */
export class UnitReader {
  #buffer: Buffer = Buffer.alloc(0);
  /** Of the buffer: where the next unit begins, and where what has come ends. */
  #start = 0;
  #end = 0;
  /** Of the next unit, what was read: whole commands, up to there, and a part of one. Places are counted from its start. */
  #requests: Request[] = [];
  #at = 0;
  #command: CommandReader | undefined;

  get heldBytes(): number {
    return this.#end - this.#start;
  }

  /** Bytes that are the caller's no more. */
  push(bytes: Buffer): void {
    const held = this.heldBytes;
    if (held === 0) this.#buffer = bytes;
    else {
      if (this.#end + bytes.length > this.#buffer.length) {
        const larger = Buffer.allocUnsafeSlow(2 * (held + bytes.length));
        this.#buffer.copy(larger, 0, this.#start, this.#end);
        this.#buffer = larger;
        this.#start = 0;
        this.#end = held;
      }
      bytes.copy(this.#buffer, this.#end);
    }
    if (held === 0) this.#start = this.#end = 0;
    this.#end += bytes.length;
  }

  /** Undefined: it is not whole yet. Throws where what comes is no command. */
  next(): Unit | undefined {
    const bytes = this.#buffer.subarray(this.#start, this.#end);
    for (;;) {
      this.#command ??= new CommandReader(this.#at);
      const parsed = this.#command.read(bytes);
      if (parsed === "more") return undefined;
      const request = parsed === "bad" ? undefined : parsed.request;
      if (parsed === "bad" || request === undefined) throw new Error("what came is no command");
      this.#command = undefined;
      this.#requests.push(request);
      this.#at = parsed.end;
      if (this.#isWhole(request)) return this.#take(bytes.subarray(0, parsed.end));
    }
  }

  #isWhole(last: Request): boolean {
    const word = last.count === 1 ? last.word(0) : "";
    return this.#requests.length === 1 ? word !== "multi" : word === "exec" || word === "discard";
  }

  #take(bytes: Buffer): Unit {
    const requests = this.#requests;
    // Those that came first may lie where the bytes were before more came.
    for (const request of requests) request.bytes = bytes;
    this.#start += bytes.length;
    this.#requests = [];
    this.#at = 0;
    return { requests, bytes };
  }
}
