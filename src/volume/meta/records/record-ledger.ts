import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../../base/clock.ts";
import type { Blob } from "../extents.ts";
import type { CollectRule, Flaw, LedgerCount, VolumeLedger } from "../ledger.ts";
import { BLOB_DELETING, BLOB_DOOMED, BLOB_LIVE, BLOB_PENDING } from "../rules/tables.ts";
import type { EngineVerbs } from "../rules/verbs-on.ts";
import { openSqliteLedger } from "../sqlite/sqlite-ledger.ts";
import { exportToSqlite } from "./export-records.ts";
import { after, blobGroup, BLOBS, hex, numberOf, SEEN, SESSIONS, UNSETTLED_BLOBS } from "./keys.ts";
import type { RecordStore } from "./record-store.ts";
import { blobOf, putBlob, sessionIds, type BlobRecord } from "./record-tables.ts";
import { repairRecords } from "./repair-records.ts";
import { run, transactionOf } from "./transaction.ts";
import { View } from "./view.ts";

/** Blobs that one transaction looks at. */
const STEP = 256;

interface RecordLedgerOptions {
  readonly store: RecordStore;
  readonly clock: Clock;
  /** Verbs of the collector's session, which opens nothing, so that whatever it is left with can go. */
  readonly openVerbs: () => Promise<EngineVerbs>;
}

/** The ledger of a volume over an engine elsewhere. What looks at everything at once does so in a copy. */
export class RecordLedger implements VolumeLedger {
  readonly #options: RecordLedgerOptions;
  #verbs: EngineVerbs | undefined;

  constructor(options: RecordLedgerOptions) {
    this.#options = options;
  }

  async doomAbandoned(graceMs: number): Promise<number> {
    const nowMs = this.#options.clock.wallMs();
    let doomed = 0;
    await this.#eachUnsettled((view, blobs) => {
      const living = new Set(sessionIds(view));
      const abandoned = blobs.filter(
        ([, [, , , state, session, sinceMs]]) => state === BLOB_PENDING && sinceMs <= nowMs - graceMs && !living.has(session),
      );
      for (const [id, before] of abandoned) putBlob(view, id, before, withState(before, BLOB_DOOMED, nowMs));
      return () => (doomed += abandoned.length) < Number.POSITIVE_INFINITY;
    });
    return doomed;
  }

  async claim({ graceMs, countMax }: CollectRule): Promise<readonly Blob[]> {
    const untilMs = this.#options.clock.wallMs() - graceMs;
    const claimed: Blob[] = [];
    for (const wanted of [BLOB_DELETING, BLOB_DOOMED]) {
      if (claimed.length >= countMax) break;
      await this.#eachUnsettled((view, blobs) => {
        // Every session that lives has been heard of since it was doomed; what it says of itself only gets newer.
        view.range(SESSIONS, "0", after("f"), STEP);
        const seenMs = Math.min(...view.range(SEEN, "0", after("f"), 100_000).map(([, value]) => Number(value)));
        const free = blobs
          .filter(
            ([, [, , refs, state, , sinceMs]]) =>
              state === wanted && (state === BLOB_DELETING || (refs === 0 && sinceMs <= untilMs && sinceMs < seenMs)),
          )
          .slice(0, countMax - claimed.length);
        for (const [id, before] of free)
          if (before[3] !== BLOB_DELETING) putBlob(view, id, before, withState(before, BLOB_DELETING, before[5]));
        return () => {
          claimed.push(...free.map(([id, [sha256, bytes]]) => ({ id, sha256, bytes })));
          return claimed.length < countMax;
        };
      });
    }
    return claimed;
  }

  async forget(ids: readonly number[]): Promise<void> {
    for (let from = 0; from < ids.length; from += STEP) {
      const some = ids.slice(from, from + STEP);
      await this.#run((view) => {
        expectBlobs(view, some);
        for (const id of some) {
          const before = blobOf(view, id);
          if (before?.[3] !== BLOB_DELETING) continue;
          view.remove(UNSETTLED_BLOBS, hex(before[5]) + hex(id));
          view.remove(BLOBS, hex(id));
          view.drop(blobGroup(id));
        }
      });
    }
  }

  async known(ids: readonly number[]): Promise<ReadonlyMap<number, string>> {
    const found = await this.#run((view) => {
      expectBlobs(view, ids);
      return ids.flatMap((id) => {
        const record = blobOf(view, id);
        return record === undefined ? [] : [[id, record[0]] as const];
      });
    });
    return new Map(found);
  }

  live(afterId: number, countMax: number): Promise<readonly Blob[]> {
    return this.#listed(afterId, countMax, (state) => state === BLOB_LIVE);
  }

  entered(afterId: number, countMax: number): Promise<readonly Blob[]> {
    return this.#listed(afterId, countMax, () => true);
  }

  async expireTrash(): Promise<number> {
    return (await this.#collector()).trash.expire();
  }

  async removeOrphans(): Promise<boolean> {
    return (await this.#collector()).removeOrphans();
  }

  count(): Promise<LedgerCount> {
    return this.#inCopy((copy) => copy.count());
  }

  check(countMax: number): Promise<readonly Flaw[]> {
    return this.#inCopy((copy) => copy.check(countMax));
  }

  recount(): Promise<void> {
    const { store, clock } = this.#options;
    return repairRecords({ store, clock, withCopy: (use) => this.#withCopy(use) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#verbs?.[Symbol.asyncDispose]();
    await this.#options.store[Symbol.asyncDispose]();
  }

  async #collector(): Promise<EngineVerbs> {
    return (this.#verbs ??= await this.#options.openVerbs());
  }

  async #listed(afterId: number, countMax: number, wanted: (state: number) => boolean): Promise<readonly Blob[]> {
    const found: Blob[] = [];
    for (let at = afterId; found.length < countMax;) {
      const from = at;
      const [ids, blobs] = await this.#run((view) => {
        const page = view.range(BLOBS, hex(from + 1), after("f"), STEP).map(([key]) => numberOf(key));
        expectBlobs(view, page);
        return [page, page.map((id) => [id, blobOf(view, id)] as const)] as const;
      });
      for (const [id, record] of blobs)
        if (record !== undefined && wanted(record[3]) && found.length < countMax) found.push({ id, sha256: record[0], bytes: record[1] });
      if (ids.length < STEP) break;
      at = ids.at(-1)!; // not empty
    }
    return found;
  }

  /** In steps, each a transaction that looks again at what an index has named; `work` answers what is to be done once it is committed: false ends it. */
  async #eachUnsettled(work: (view: View, blobs: readonly (readonly [number, BlobRecord])[]) => () => boolean): Promise<void> {
    for (let from = "0"; ;) {
      const at = from;
      const { keys, committed } = await this.#run((view) => {
        const page = view.range(UNSETTLED_BLOBS, at, after("f"), STEP).map(([key]) => key);
        const ids = page.map((key) => numberOf(key.slice(hex(0).length)));
        expectBlobs(view, ids);
        const blobs = ids.flatMap((id) => {
          const record = blobOf(view, id);
          return record === undefined ? [] : [[id, record] as const];
        });
        return { keys: page, committed: work(view, blobs) };
      });
      if (!committed() || keys.length < STEP) return;
      from = `${keys.at(-1)!}0`; // behind the last
    }
  }

  #inCopy<T>(use: (copy: VolumeLedger) => Promise<T>): Promise<T> {
    return this.#withCopy(async (path) => {
      await using copy = openSqliteLedger(path, this.#options.clock);
      return await use(copy);
    });
  }

  async #withCopy<T>(use: (path: string) => Promise<T>): Promise<T> {
    const dir = await mkdtemp(join(tmpdir(), "anax-volume-"));
    try {
      const path = join(dir, "meta.sqlite");
      await exportToSqlite(this.#options.store, path);
      return await use(path);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }

  #run<T>(work: (view: View) => T): Promise<T> {
    const { store, clock } = this.#options;
    const view = new View();
    return run(transactionOf({ view, clock, begin: () => undefined, work: () => work(view), finish: () => undefined }), store, clock);
  }
}

const withState = ([sha256, bytes, refs, , session]: BlobRecord, state: number, sinceMs: number): BlobRecord => [
  sha256,
  bytes,
  refs,
  state,
  session,
  sinceMs,
];

const expectBlobs = (view: View, ids: readonly number[]): void => view.expect(ids.map((id) => ({ group: blobGroup(id), key: "b" })));
