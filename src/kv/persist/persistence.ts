import { AnaxError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { InfoField } from "../info/sections.ts";
import { CommandError } from "../command-error.ts";
import type { ShutdownHow } from "../shutdown.ts";
import type { Store } from "../store.ts";
import { DataDirectory } from "./data-directory.ts";
import { Journal } from "./journal/journal.ts";
import { RdbError } from "./rdb/rdb-error.ts";
import { Saves } from "./saves.ts";

/** What a store keeps on disk: the file of SAVE, and the journal. */
export class Persistence implements AsyncDisposable {
  readonly saves: Saves;
  readonly journal: Journal;
  readonly #store: Store;
  readonly #directory: DataDirectory;
  readonly #log: Log;
  /** All that is on disk was read. */
  #loaded = false;
  /** What there is to save at the end is saved. */
  #finished = false;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
    this.#directory = new DataDirectory(store);
    this.saves = new Saves(store, this.#directory, log);
    this.journal = new Journal(store, this.#directory, log);
    store.infoSections.set("persistence", () => this.#info());
    store.gates.add((_, flags) => {
      if (store.loading !== undefined && !flags.includes("loading")) return LOADING;
      if (this.journal.problem === undefined && !this.saves.failed) return undefined; // asked before each command
      return flags.includes("write") || flags.includes("may_replicate") ? this.#problem() : undefined;
    });
  }

  /** Where files are. */
  get files(): DataDirectory {
    return this.#directory;
  }

  /** Reads what is there: the journal where that is wanted, otherwise the last file that was saved. Meanwhile, and until `begin` has run, commands are told so. */
  async load(begin: () => void): Promise<void> {
    const store = this.#store;
    store.loading = { startedMs: store.nowMs, totalBytes: 0, loadedBytes: 0 };
    try {
      if (this.#directory.lasts) {
        const journaled = store.parameters.appendonly && (await this.journal.load());
        if (!journaled) await this.saves.loadSlowly();
      }
      store.dirty = 0;
      this.#loaded = true;
      // Before anybody can write something that it would lack.
      if (store.parameters.appendonly) await this.journal.open();
      begin();
    } catch (thrown) {
      if (!(thrown instanceof RdbError)) throw thrown;
      throw new AnaxError("disk.corrupt", { path: this.#directory.path, reason: thrown.message }, { cause: thrown });
    } finally {
      store.loading = undefined;
    }
  }

  /** `appendonly` has another value. */
  journalSwitched(): void {
    this.journal.switched().catch((error: unknown) => this.#log.error("store.journal-failed", { error }));
  }

  /** Files outlive the store. */
  get lasts(): boolean {
    return this.#directory.lasts;
  }

  /** A file that is gone when the store is. */
  temporaryFile(name: string): string {
    return this.#directory.file(name);
  }

  /** From time to time. */
  tick(): void {
    this.saves.tick();
    this.journal.tick();
  }

  /**
   * Saves what was changed since the last time, where `save` or the command wants that; a save under way is given up. Throws what failed, unless the end is forced, and then the server can go
   * on.
   */
  async finish({ save, force }: Pick<ShutdownHow, "save" | "force">): Promise<void> {
    if (this.journal.opening && !force) throw new CommandError("Writing initial AOF, can't exit");
    this.saves.cancel();
    await this.saves.settled();
    if (save ?? this.#store.parameters.save !== "") this.#saveAtEnd(save === true, force);
    this.#finished = true;
  }

  /** At the end: no save under way is waited for longer than it needs. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { parameters, snapshots } = this.#store;
    parameters["rdb-key-save-delay"] = 0;
    while (snapshots.busy) await snapshots.free();
    await this.saves.settled();
    if (!this.#finished) {
      await this.journal.opened();
      await this.finish({ save: undefined, force: true });
    }
    await this.journal[Symbol.asyncDispose]();
    this.#directory[Symbol.dispose]();
  }

  #saveAtEnd(anyway: boolean, force: boolean): void {
    const { dirty, replication } = this.#store;
    if (!this.#loaded || !(anyway || this.#directory.lasts)) return;
    // The history goes on without any change: with pings.
    if (!anyway && dirty === 0 && replication?.primary.backlog === undefined) return;
    try {
      this.saves.now();
    } catch (error) {
      this.#log.error("store.save-failed", { path: this.saves.path, error });
      if (!force) throw error;
    }
  }

  /** Why nothing may be written now. */
  #problem(): string | undefined {
    const { parameters } = this.#store;
    if (this.journal.problem !== undefined) return `MISCONF Errors writing to the AOF file: ${this.journal.problem}`;
    if (this.saves.failed && parameters["stop-writes-on-bgsave-error"] && parameters.save !== "" && this.#directory.lasts)
      return SAVE_FAILED;
    return undefined;
  }

  #info(): readonly InfoField[] {
    const { saves, journal } = this;
    const { snapshots, loading, nowMs, dirty } = this.#store;
    const since = (startedMs: number | undefined): number => (startedMs === undefined ? -1 : Math.floor((nowMs - startedMs) / 1000));
    const percent = snapshots.busy && snapshots.keysTotal > 0 ? (100 * snapshots.keysDone) / snapshots.keysTotal : 0;
    return [
      ["loading", loading === undefined ? 0 : 1],
      ["async_loading", 0],
      ["current_cow_peak", 0],
      ["current_cow_size", 0],
      ["current_cow_size_age", 0],
      ["current_fork_perc", percent.toFixed(2)],
      ["current_save_keys_processed", snapshots.keysDone],
      ["current_save_keys_total", snapshots.busy ? snapshots.keysTotal : 0],
      ["rdb_changes_since_last_save", dirty],
      ["rdb_bgsave_in_progress", saves.startedMs === undefined ? 0 : 1],
      ["rdb_last_save_time", Math.floor(saves.lastMs / 1000)],
      ["rdb_last_bgsave_status", saves.failed ? "err" : "ok"],
      ["rdb_last_bgsave_time_sec", saves.lastSeconds],
      ["rdb_current_bgsave_time_sec", since(saves.startedMs)],
      ["rdb_saves", saves.count],
      ["rdb_last_cow_size", 0],
      ["rdb_last_load_keys_expired", saves.lastLoaded.expired],
      ["rdb_last_load_keys_loaded", saves.lastLoaded.keys],
      ...journal.info(),
      ["module_fork_in_progress", 0],
      ["module_fork_last_cow_size", 0],
      ...(loading === undefined ? [] : loadingFields(loading, nowMs)),
    ];
  }
}

function loadingFields({ startedMs, totalBytes, loadedBytes }: NonNullable<Store["loading"]>, nowMs: number): readonly InfoField[] {
  const seconds = Math.max(1, (nowMs - startedMs) / 1000);
  const left = Math.max(0, totalBytes - loadedBytes);
  return [
    ["loading_start_time", Math.floor(startedMs / 1000)],
    ["loading_total_bytes", totalBytes],
    ["loading_rdb_used_mem", 0],
    ["loading_loaded_bytes", loadedBytes],
    ["loading_loaded_perc", (totalBytes === 0 ? 0 : (100 * loadedBytes) / totalBytes).toFixed(2)],
    ["loading_eta_seconds", loadedBytes === 0 ? 1 : Math.round((seconds * left) / loadedBytes)],
  ];
}

const LOADING = "LOADING Redis is loading the dataset in memory";
const SAVE_FAILED =
  "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are " +
  "disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). " +
  "Please check the Redis logs for details about the RDB error.";
