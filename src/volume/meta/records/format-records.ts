import type { Clock } from "../../../base/clock.ts";
import { stampOf } from "../rules/engine.ts";
import { FIRST_ID, type NewVolume } from "../new-volume.ts";
import { ROOT_INO } from "../verbs.ts";
import { recordTables } from "./record-tables.ts";
import type { RecordStore } from "./record-store.ts";
import { bytesOf, DESCRIPTION_KEY, FENCE, FENCE_KEY, textOf } from "./keys.ts";
import { putCounters, putFence } from "./record-turn.ts";
import { run, transactionOf } from "./transaction.ts";
import { View } from "./view.ts";

/** Makes the metadata of an empty volume; a second time it does nothing. */
export async function formatRecords(store: RecordStore, volume: NewVolume, description: string, clock: Clock): Promise<void> {
  const view = new View();
  const { nodes } = recordTables(view, { id: 0, wallMs: () => clock.wallMs() });
  const { uuid, capacityBytes, inodesMax, readOnly, trashMs = 0 } = volume;
  const work = (): void => {
    if (view.get(FENCE, FENCE_KEY) !== undefined) return;
    const { sec, nsec } = stampOf(clock);
    putFence(view, { uuid, state: "active", epoch: 1, readOnly, capacityBytes, inodesMax, trashMs });
    view.put(FENCE, DESCRIPTION_KEY, textOf(Buffer.from(description)));
    putCounters(view, [0, 1, FIRST_ID, 0]);
    nodes.put({
      ino: ROOT_INO,
      kind: "directory",
      mode: 0o040000 | volume.permissions,
      uid: volume.uid,
      gid: volume.gid,
      rdev: 0,
      nlink: 2,
      size: 0,
      blocks: 0,
      allocated: 0,
      atimeSec: sec,
      atimeNsec: nsec,
      mtimeSec: sec,
      mtimeNsec: nsec,
      ctimeSec: sec,
      ctimeNsec: nsec,
      parent: ROOT_INO,
    });
  };
  await run(transactionOf({ view, clock, begin: () => undefined, work, finish: () => undefined }), store, clock);
}

/** What `formatRecords` was told about the volume. */
export async function readDescription(store: RecordStore): Promise<string | undefined> {
  const { found } = await store.fetch({ wants: [{ group: FENCE, key: DESCRIPTION_KEY }], groups: [] });
  const pair = found[0]?.[0];
  return pair === undefined ? undefined : bytesOf(pair[1]).toString();
}
