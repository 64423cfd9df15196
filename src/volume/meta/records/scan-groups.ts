import { AnaxError } from "../../../base/errors.ts";
import { isIndex, type Pair, type RecordStore, type StoredRecord } from "./record-store.ts";

/** Groups that are asked for at once. */
const STEP = 128;
/** More records than any group may have. */
const ALL = 10_000_000;
const ROUNDS_MAX = 5;

interface Read {
  readonly version: string;
  readonly pairs: readonly Pair[];
}

/**
 * All records as of one moment, of an engine that has no other way to give them: reads every group, looks whether all are still as they were read, and reads those
 * that are not once more. All of it is in memory. Throws `volume.changed` where others change it faster than it is read.
 */
export async function* scanGroups(
  store: Pick<RecordStore, "fetch" | "address">,
  list: () => Promise<readonly string[]>,
): AsyncGenerator<StoredRecord> {
  const read = new Map<string, Read>();
  for (let round = 0; ; round++) {
    const groups = (await list()).filter((group) => !isIndex(group));
    const changed: string[] = [];
    for (const some of inSteps(groups)) {
      const { versions } = await store.fetch({ wants: [], groups: some });
      changed.push(...some.filter((group, index) => read.get(group)?.version !== versions[index]));
    }
    const there = new Set(groups);
    for (const group of read.keys()) if (!there.has(group)) read.delete(group);
    if (changed.length === 0) break;
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
