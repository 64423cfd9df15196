import { Client } from "../../clients/client.ts";
import { CommandError } from "../../command-error.ts";
import type { Command } from "../../commands/command.ts";
import { keysOf } from "../../commands/found-keys.ts";
import type { Database } from "../../keyspace/database.ts";
import { slotOfBytes, slotOfKey } from "../../keyspace/key-slot.ts";
import { latin1Of } from "../../../base/latin1.ts";
import type { Store } from "../../store.ts";
import type { Request } from "../../../wire/resp/request.ts";
import { readEntries, type EntrySink, type KeyEntry } from "./entries.ts";
import { malformed } from "./frames.ts";

/** Records that one step of a removal takes. */
const DISCARD_COUNT = 500;
const ALIGN_BUCKETS = 500;

/** What a target has of slots that are not its own: nobody sees it, and it can be given up at any moment. */
export class Staging implements EntrySink {
  readonly slots: readonly number[];
  readonly #own: ReadonlySet<number>;
  readonly #store: Store;
  readonly #db: Database;
  #stage: Database;
  readonly #client: Client;
  /** What it has does not belong to it any more. */
  #over = false;

  constructor(store: Store, slots: readonly number[]) {
    this.#store = store;
    this.slots = slots;
    this.#own = new Set(slots);
    this.#db = store.databases[0]!; // a cluster has one
    this.#stage = this.#db.stage();
    this.#client = new Client(store, 0, { wake: () => {}, resume: () => {}, close: () => {} });
    this.#client.known = true;
    this.#client.mayBlock = false;
    this.#client.db = this.#stage;
  }

  get count(): number {
    return this.#stage.count;
  }

  /** Throws `migration.malformed`, as the source has something else then: the attempt has to end. */
  apply(payload: Buffer): void {
    if (this.#over) return;
    this.#stage.nowMs = this.#store.nowMs;
    readEntries(payload, this.#store.parameters, this);
  }

  clear(): void {
    const given = this.#stage;
    this.#stage = this.#client.db = this.#db.stage();
    this.#discard(given);
  }

  key({ key, value, expiryMs, useBits, raw }: KeyEntry): void {
    const stage = this.#stage;
    if (!this.#own.has(slotOfKey(key))) throw malformed("a key of a slot that does not move");
    let address = "value" in value ? stage.setObjectText(key, value.value) : stage.setStringText(key, value.string);
    if (raw && "string" in value) address = stage.changeString(address, value.string, true);
    if (expiryMs !== undefined) stage.setExpiry(address, expiryMs);
    stage.setUseBits(address, useBits);
  }

  /** As the source has run it; nobody is told of it, and it goes to no journal. */
  command(request: Request): void {
    const store = this.#store;
    const command = store.commands.find(request);
    if (command?.run === undefined || !this.#mayRun(command, request)) throw malformed("a command that is not for these slots");
    const { dirty, notifies } = store;
    const client = this.#client;
    store.notifies = false;
    try {
      client.command = command;
      client.running = request;
      command.run(client, request);
    } catch (thrown) {
      throw thrown instanceof CommandError ? malformed(thrown.message.slice(0, 200)) : thrown;
    } finally {
      store.notifies = notifies;
      store.dirty = dirty;
      store.effects = undefined;
      client.running = undefined;
      if (client.reply.length > 0 && client.reply.view()[0] === ERROR) this.#failed();
      client.reply.truncate();
    }
  }

  #mayRun(command: Command, request: Request): boolean {
    if (!command.flags.includes("write") || command.group === "scripting") return false;
    const keys = keysOf(command, request);
    return (
      keys.length > 0 &&
      keys.every(({ index }) => this.#own.has(slotOfBytes(request.bytes, request.offsets[index]!, request.lengths[index]!)))
    );
  }

  #failed(): never {
    const text = latin1Of(this.#client.reply.view()).slice(0, 200);
    this.#client.reply.truncate();
    throw malformed(text);
  }

  /** Makes ready what is to be promoted, a little with each turn. */
  async prepare(): Promise<void> {
    while (!this.#over && !this.#db.isAligned(this.#stage)) await this.#align();
  }

  async #align(): Promise<void> {
    let cursor = 0;
    do {
      for (let left = ALIGN_BUCKETS; left > 0; left--) {
        cursor = this.#db.align(this.#stage, cursor);
        if (cursor === 0) return;
      }
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.#db.isAligned(this.#stage) && !this.#over);
  }

  /** Makes what is staged the database's own, in place of what these slots had, at once. False: it was done before. */
  promote(): boolean {
    if (this.#over) return false;
    const db = this.#db;
    if (!db.isAligned(this.#stage)) {
      let cursor = 0;
      do cursor = db.align(this.#stage, cursor);
      while (cursor !== 0);
    }
    const slots = new Set(this.slots);
    this.#store.watches.moved(db, (key) => slots.has(slotOfKey(key)));
    for (const slot of slots) while (!db.dropFrom(slot, Infinity));
    db.adopt(this.#stage, slots);
    this.#over = true;
    return true;
  }

  /** Nothing is left of it, soon. */
  drop(): void {
    if (this.#over) return;
    this.#over = true;
    this.#discard(this.#stage);
  }

  #discard(stage: Database): void {
    if (!stage.discard(this.slots, DISCARD_COUNT)) setImmediate(() => this.#discard(stage));
  }
}

const ERROR = 45; // -
