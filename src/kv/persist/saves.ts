import { readFileSync, existsSync } from "node:fs";
import type { Log } from "../../base/log.ts";
import { CommandError } from "../command-error.ts";
import { Libraries } from "../scripting/functions.ts";
import type { Store } from "../store.ts";
import { piecesOf } from "./pieces.ts";
import type { DataDirectory } from "./data-directory.ts";
import { RdbDecoder } from "./rdb/rdb-decoder.ts";
import { intoStore, RdbLoader, type LoadTarget } from "./rdb-loader.ts";
import { beginRdb, wholeRdb } from "./rdb-of-store.ts";
import { NewFile, writeFileNow } from "./snapshot-file.ts";

const CHUNK_BYTES = 1024 * 1024;
/** After one that failed the next waits so long. */
const RETRY_MS = 5000;

/** Writes the file that `dbfilename` names: when it is told to, and when `save` says so. */
export class Saves {
  readonly #store: Store;
  readonly #directory: DataDirectory;
  readonly #log: Log;
  lastMs: number;
  lastSeconds = -1;
  failed = false;
  count = 0;
  /** When the one under way began. */
  startedMs: number | undefined;
  /** One is to begin as soon as whatever else is being written is done. */
  scheduled = false;
  lastLoaded = { keys: 0, expired: 0 };
  #triedMs = 0;
  #underWay = Promise.resolve();
  /** The one under way is given up. */
  #cancelled = false;

  constructor(store: Store, directory: DataDirectory, log: Log) {
    this.#store = store;
    this.#directory = directory;
    this.#log = log;
    this.lastMs = store.nowMs;
  }

  get path(): string {
    return this.#directory.file(this.#store.parameters.dbfilename);
  }

  /** The walk through the keys ends before the file has its name: another one would write over it until then. */
  get #busy(): boolean {
    return this.#store.snapshots.busy || this.startedMs !== undefined;
  }

  /** Writes the file while everything waits. Throws `disk.full`, `disk.io`. */
  now(): void {
    if (this.startedMs !== undefined) throw new CommandError("ERR Background save already in progress");
    const store = this.#store;
    try {
      writeFileNow(this.path, this.#directory.file(`temp-${process.pid}.rdb`), wholeRdb(store, beginRdb(store), CHUNK_BYTES));
    } catch (thrown) {
      this.failed = true;
      throw thrown;
    }
    store.dirty = 0;
    this.#saved(store.promotions.last);
  }

  /** Begins to write what there is now; false: something else is being written. */
  begin(): boolean {
    const store = this.#store;
    if (this.#busy) return false;
    this.scheduled = false;
    this.startedMs = this.#triedMs = store.nowMs;
    this.#underWay = this.#save();
    return true;
  }

  /** Resolves when none is under way: its file has its name, or is gone. */
  settled(): Promise<void> {
    return this.#underWay;
  }

  /** Gives the one under way up. */
  cancel(): void {
    this.#cancelled = this.startedMs !== undefined;
  }

  /** All keys are gone: what the one under way would write is of no use, and what the file has would come again with the next start. */
  emptied(): void {
    this.cancel();
    this.scheduled ||= this.#directory.lasts && this.#store.parameters.save !== "";
  }

  async #save(): Promise<void> {
    const store = this.#store;
    const startedMs = store.clock.nowMs();
    this.#cancelled = false;
    try {
      using slot = store.snapshots.reserve();
      const file = await NewFile.create(this.path, this.#directory.file(`temp-${process.pid}-background.rdb`));
      const { dirty } = store;
      const promotion = store.promotions.last;
      const chunks = slot.begin(beginRdb(store), () => (this.#cancelled ? 0 : store.parameters["rdb-key-save-delay"] / 1000));
      if (await file.fill(chunks, () => this.#cancelled)) {
        store.dirty -= Math.min(dirty, store.dirty);
        this.#saved(promotion);
        this.#log.info("store.saved", { path: this.path, bytes: file.bytes });
      } else await store.snapshots.free();
    } catch (thrown) {
      this.failed = true;
      this.#log.error("store.save-failed", { path: this.path, error: thrown });
    }
    this.lastSeconds = Math.round((store.clock.nowMs() - startedMs) / 1000);
    this.startedMs = undefined;
  }

  #saved(promotion: number): void {
    if (!this.#store.parameters.appendonly) this.#store.promotions.saved = promotion;
    this.failed = false;
    this.count++;
    this.lastMs = this.#store.clock.wallMs();
  }

  /** From time to time: whether one is due. */
  tick(): void {
    const { parameters, nowMs, dirty } = this.#store;
    if (this.#busy) return;
    if (this.scheduled) return void this.begin();
    if (!this.#directory.lasts || dirty === 0) return;
    if (this.failed && nowMs - this.#triedMs < RETRY_MS) return;
    if (isDue(parameters.save, dirty, (nowMs - this.lastMs) / 1000)) this.begin();
  }

  /** Reads the file in place of all that is there, while everything waits. Throws `RdbError`; what was there is untouched then. */
  load(): void {
    const store = this.#store;
    const staged = stagedFor(store);
    this.#read(new RdbLoader(store, staged, this.#isPrimary));
    replaceAll(store, staged);
  }

  /** Reads the file to what is there; `replaces`: what is in both becomes that of the file, otherwise it throws `RdbError`. */
  add(replaces: boolean): void {
    this.#read(new RdbLoader(this.#store, intoStore(this.#store), this.#isPrimary, replaces));
  }

  #read(loader: RdbLoader): void {
    const decoder = this.#decoder(loader);
    decoder.feed(readFileSync(this.path));
    decoder.end();
    this.loaded(loader);
  }

  get #isPrimary(): boolean {
    return this.#store.replication?.link === undefined;
  }

  /** Reads the file, if there is one, into the databases, which are empty, piece by piece. Throws `RdbError`, `disk.io`. */
  async loadSlowly(): Promise<void> {
    const { path } = this;
    if (!existsSync(path)) return;
    const store = this.#store;
    const loader = new RdbLoader(store, intoStore(store), store.parameters.replicaof === "");
    const decoder = this.#decoder(loader);
    for await (const chunk of piecesOf(path, store.loading)) decoder.feed(chunk);
    decoder.end();
    this.loaded(loader);
    store.replication?.restored(loader.fields);
    this.#log.info("store.loaded", { path, keys: loader.loadedKeys, expired: loader.expiredKeys });
  }

  #decoder(loader: RdbLoader): RdbDecoder {
    const { parameters, skipsChecksums } = this.#store;
    return new RdbDecoder(loader, parameters, parameters.rdbchecksum && !skipsChecksums);
  }

  loaded(loader: RdbLoader): void {
    this.lastLoaded = { keys: loader.loadedKeys, expired: loader.expiredKeys };
    for (const [what, count] of loader.skippedKinds) this.#log.warn("store.skipped", { what, count });
  }
}

/** Empty databases and no functions, to be filled and then put in place of the store's. */
export function stagedFor(store: Store): LoadTarget {
  const databases = store.databases.map((own) => {
    const db = own.blank();
    db.expiryMode = "keep";
    return db;
  });
  return { databases, libraries: new Libraries() };
}

/** Everything that the store has is replaced by what these have. */
export function replaceAll(store: Store, { databases, libraries }: LoadTarget): void {
  store.scripting.libraries = libraries;
  for (const db of store.databases) {
    store.flush(db);
    db.swapWith(databases[db.index]!);
    store.blocked.changedAll(db);
  }
}

function isDue(save: string, dirty: number, seconds: number): boolean {
  const words = save.split(" ").map(Number);
  for (let i = 0; i + 1 < words.length; i += 2) if (seconds >= words[i]! && dirty >= words[i + 1]!) return true;
  return false;
}
