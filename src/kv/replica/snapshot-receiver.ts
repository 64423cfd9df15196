import { latin1Of } from "../../base/latin1.ts";
import type { Database } from "../keyspace/database.ts";
import { RdbDecoder } from "../persist/rdb/rdb-decoder.ts";
import { RdbLoader, type LoadTarget } from "../persist/rdb-loader.ts";
import { replaceAll, stagedFor } from "../persist/saves.ts";
import { HOLDING, parseHolding } from "../slots/holding.ts";
import type { Store } from "../store.ts";

const MARK_BYTES = 40;
const HEADER_BYTES_MAX = 1024;

/**
 * Takes the snapshot that a primary sends, as it comes, beside what this server has: that this server has stays until all of it is there, and if it never is.
 */
export class SnapshotReceiver {
  readonly id: string;
  readonly offset: number;
  readonly #store: Store;
  readonly #staged: LoadTarget;
  readonly #loader: RdbLoader;
  readonly #decoder: RdbDecoder;
  #header: Buffer = Buffer.alloc(0);
  /** Bytes still to come; undefined: until the mark. */
  #left: number | undefined;
  #mark: Buffer | undefined;
  /** The last bytes, which may be the mark. */
  #tail: Buffer = Buffer.alloc(0);

  constructor(store: Store, { id, offset }: { readonly id: string; readonly offset: number }) {
    this.id = id;
    this.offset = offset;
    this.#store = store;
    this.#staged = stagedFor(store);
    this.#loader = new RdbLoader(store, this.#staged, false);
    this.#decoder = new RdbDecoder(this.#loader, store.parameters, store.parameters.rdbchecksum);
  }

  /** What follows the snapshot; undefined until it is complete. Throws where it is none. */
  feed(bytes: Buffer): Buffer | undefined {
    const content = this.#left === undefined && this.#mark === undefined ? this.#readHeader(bytes) : bytes;
    if (content === undefined) return undefined;
    return this.#mark === undefined ? this.#byLength(content) : this.#untilMark(content, this.#mark);
  }

  #readHeader(bytes: Buffer): Buffer | undefined {
    const all = Buffer.concat([this.#header, bytes]);
    let at = 0;
    while (all[at] === 10) at++;
    const end = all.indexOf(10, at);
    if (end < 0) {
      if (all.length - at > HEADER_BYTES_MAX) throw new Error("what came is no snapshot");
      this.#header = Buffer.from(all.subarray(at));
      return undefined;
    }
    const line = latin1Of(all, at, end).replace(/\r$/, "");
    const [, mark, length] = /^\$(?:EOF:([0-9a-f]{40})|(\d{1,15}))$/.exec(line) ?? [];
    if (mark !== undefined) this.#mark = Buffer.from(mark);
    else if (length !== undefined) this.#left = Number(length);
    else throw new Error(`the primary sends no snapshot: ${line}`);
    return all.subarray(end + 1);
  }

  #byLength(bytes: Buffer): Buffer | undefined {
    const part = bytes.subarray(0, this.#left);
    this.#left! -= part.length;
    this.#decoder.feed(part);
    if (this.#left! > 0) return undefined;
    if (!this.#decoder.ended) this.#decoder.end();
    return bytes.subarray(part.length);
  }

  /** The mark comes last: until it is acknowledged nothing follows. */
  #untilMark(bytes: Buffer, mark: Buffer): Buffer | undefined {
    const all = Buffer.concat([this.#tail, bytes]);
    const cut = Math.max(0, all.length - MARK_BYTES);
    this.#tail = Buffer.from(all.subarray(cut));
    if (!this.#decoder.ended) this.#decoder.feed(all.subarray(0, cut));
    if (!this.#tail.equals(mark)) return undefined;
    if (!this.#decoder.ended) this.#decoder.end();
    return Buffer.alloc(0);
  }

  /** The database that the primary's stream has selected. */
  get streamDatabase(): Database {
    return this.#store.databases[Number(this.#loader.fields.get("repl-stream-db") ?? 0)] ?? this.#store.databases[0]!;
  }

  /** Puts it in place of what the store has. */
  install(): void {
    replaceAll(this.#store, this.#staged);
    this.#store.holding = parseHolding(this.#loader.fields.get(HOLDING) ?? "");
    this.#store.persistence?.saves.loaded(this.#loader);
    this.#store.persistence?.journal.replaced();
  }
}
