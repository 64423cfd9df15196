import { AnaxError } from "../../../base/errors.ts";
import { Client } from "../../clients/client.ts";
import { applyCommand } from "../../dispatch.ts";
import type { Store } from "../../store.ts";
import { piecesOf } from "../pieces.ts";
import { RdbDecoder } from "../rdb/rdb-decoder.ts";
import { intoStore, RdbLoader } from "../rdb-loader.ts";
import { commandAt } from "./journal-parser.ts";

export interface Replayed {
  readonly bytes: number;
  readonly commands: number;
  /** Where the last whole command, or transaction, ends: what follows was cut off while it was written. Undefined: nothing was. */
  readonly tornAt: number | undefined;
  readonly loader: RdbLoader | undefined;
}

/**
 * Reads a file of the journal into the store: commands, or an RDB with or without commands behind it. What is cut off at its end is told; anything else that is no
 * command throws `disk.corrupt` with its offset.
 */
export async function replay(store: Store, path: string): Promise<Replayed> {
  const run = new Replay(store, path);
  for await (const piece of piecesOf(path, store.loading)) run.take(piece);
  return run.end();
}

class Replay {
  readonly #store: Store;
  readonly #path: string;
  readonly #client: Client;
  #decoder: RdbDecoder | undefined;
  #loader: RdbLoader | undefined;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #wanted = 0;
  #started = false;
  /** Of the file, where what is held begins. */
  #offset = 0;
  #total = 0;
  /** Where the last command ended outside of a transaction. */
  #whole = 0;
  #commands = 0;

  constructor(store: Store, path: string) {
    this.#store = store;
    this.#path = path;
    this.#client = new Client(store, 0, { wake: () => {}, resume: () => {}, close: () => {} });
    this.#client.known = true;
    this.#client.mayBlock = false;
  }

  take(piece: Buffer): void {
    this.#total += piece.length;
    let bytes = piece;
    if (!this.#started) {
      this.#started = true;
      if (piece.toString("latin1", 0, 5) === "REDIS") {
        const { parameters, skipsChecksums } = this.#store;
        this.#loader = new RdbLoader(this.#store, intoStore(this.#store), true);
        this.#decoder = new RdbDecoder(this.#loader, parameters, parameters.rdbchecksum && !skipsChecksums);
      }
    }
    if (this.#decoder?.ended === false) {
      bytes = this.#decoder.feed(bytes);
      this.#offset = this.#whole = this.#total - bytes.length;
      if (!this.#decoder.ended) return;
    }
    this.#held.push(Buffer.from(bytes));
    this.#heldBytes += bytes.length;
    // A large command is looked at again once twice as much of it is here.
    if (this.#heldBytes >= this.#wanted) this.#read(Buffer.concat(this.#held));
  }

  #read(bytes: Buffer): void {
    let at = 0;
    for (;;) {
      const parsed = commandAt(bytes, at);
      if (parsed === "more") break;
      if (parsed === "bad") {
        // A file that was made longer before the machine lost power ends in zeros.
        if (bytes.subarray(at).every((byte) => byte === 0)) break;
        throw this.#damaged(this.#offset + at, "it is no command");
      }
      if (parsed.request !== undefined && !applyCommand(this.#client, parsed.request))
        throw this.#damaged(this.#offset + at, `the command ${parsed.request.text(0).slice(0, 64)} is not known`);
      at = parsed.end;
      if (parsed.request !== undefined) this.#commands++;
      if (this.#client.transaction === undefined) this.#whole = this.#offset + at;
    }
    this.#offset += at;
    const rest = bytes.subarray(at);
    this.#held = rest.length === 0 ? [] : [rest];
    this.#heldBytes = rest.length;
    this.#wanted = 2 * rest.length;
  }

  end(): Replayed {
    if (this.#decoder?.ended === false) {
      const rest = this.#decoder.end();
      this.#offset = this.#whole = this.#total - rest.length;
      this.#held.push(rest);
    }
    this.#read(Buffer.concat(this.#held));
    const rest = Buffer.concat(this.#held);
    if (rest[0] === 0 && rest.some((byte) => byte !== 0)) throw this.#damaged(this.#offset, "it is no command");
    const tornAt = this.#whole < this.#total ? this.#whole : undefined;
    return { bytes: this.#total, commands: this.#commands, tornAt, loader: this.#loader };
  }

  #damaged(offset: number, reason: string): AnaxError {
    return new AnaxError("disk.corrupt", { path: this.#path, offset, reason });
  }
}
