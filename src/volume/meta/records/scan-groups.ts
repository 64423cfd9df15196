import { AnaxError } from "../../../base/errors.ts";
import { isIndex, type Pair, type RecordStore, type StoredRecord } from "./record-store.ts";

/** Groups that are asked for at once. */
const STEP = 128;
/** More records than any group may have. */
const ALL = 10_000_000;
const ROUNDS_MAX = 5;
/** Changed groups that are few enough to be read in one call, which nothing else of the engine comes between. */
const FEW = 2000;
/** More groups than an engine may look at in one call, as everybody else waits meanwhile: up to two seconds on a busy machine, where mounts wait for three. */
const GROUPS_AT_ONCE_MAX = 250_000;

export interface ReadGroup {
  readonly version: string;
  readonly pairs: readonly Pair[];
}

export type ReadGroups = ReadonlyMap<string, ReadGroup>;

/** An engine that has no other way to give all records as of one moment. */
export interface ScannedStore extends Pick<RecordStore, "fetch" | "address"> {
  readonly groups: () => Promise<readonly string[]>;
  /** As of one moment, of which nothing in `known` may be older: what has another version than that, or is not in it, and which are there no longer. */
  readonly differing: (known: ReadGroups) => Promise<{ readonly changed: ReadGroups; readonly gone: readonly string[] }>;
}

/**
 * All records as of one moment: reads every group, looks whether all are still as they were read, and reads those that are not once more. While clients change some
 * of them all the time, the last look is one call. All of it is in memory. Throws `volume.changed` where clients are quicker than that.
 */
export async function* scanGroups(store: ScannedStore): AsyncGenerator<StoredRecord> {
  const read = new Map<string, ReadGroup>();
  for (let round = 0; ; round++) {
    const groups = (await store.groups()).filter((group) => !isIndex(group));
    const changed: string[] = [];
    for (const some of inSteps(groups)) {
      const { versions } = await store.fetch({ wants: [], groups: some });
      changed.push(...some.filter((group, index) => read.get(group)?.version !== versions[index]));
    }
    const there = new Set(groups);
    for (const group of read.keys()) if (!there.has(group)) read.delete(group);
    if (changed.length === 0) break;
    if (round > 0 && changed.length <= FEW && groups.length <= GROUPS_AT_ONCE_MAX) {
      const last = await store.differing(read);
      for (const group of last.gone) read.delete(group);
      for (const [group, now] of last.changed) read.set(group, now);
      break;
    }
    if (round === ROUNDS_MAX)
      throw new AnaxError("volume.changed", { address: store.address, reason: "it changes faster than it can be read" });
    for (const some of inSteps(changed)) {
      const wants = some.map((group) => ({ group, key: "\x01", to: "\xff", countMax: ALL }));
      const { found, versions } = await store.fetch({ wants, groups: some });
      for (const [index, group] of some.entries()) read.set(group, { version: versions[index] ?? "", pairs: found[index] ?? [] });
    }
  }
  for (const [group, { pairs }] of read) for (const [key, value] of pairs) yield [group, key, value];
}

function* inSteps(groups: readonly string[]): Generator<readonly string[]> {
  for (let at = 0; at < groups.length; at += STEP) yield groups.slice(at, at + STEP);
}
