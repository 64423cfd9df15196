import { realClock } from "../../src/base/clock.ts";
import type { Damage } from "../../src/volume/meta/ledger.conformance.ts";
import type { RecordStore } from "../../src/volume/meta/records/record-store.ts";
import { blobOf, putBlob, recordTables } from "../../src/volume/meta/records/record-tables.ts";
import { countersOf, putCounters } from "../../src/volume/meta/records/record-turn.ts";
import { run, transactionOf } from "../../src/volume/meta/records/transaction.ts";
import { View } from "../../src/volume/meta/records/view.ts";
import { ROOT_INO } from "../../src/volume/meta/verbs.ts";

/** Makes records of a volume be what no verb would make of them. */
export async function damageRecords(store: RecordStore, { blobs = [], nodes = [], used, kept = [], trash = [] }: Damage): Promise<void> {
  const view = new View();
  const tables = recordTables(view, { id: 0, wallMs: () => realClock.wallMs() });
  const work = (): void => {
    for (const { id, refs, state } of blobs) {
      const before = blobOf(view, id)!; // tests damage what is there
      putBlob(view, id, before, [before[0], before[1], refs ?? before[2], state ?? before[3], before[4], before[5]]);
    }
    for (const { ino, nlink, allocated } of nodes) {
      const node = tables.nodes.get(ino)!; // the same
      tables.nodes.put({ ...node, nlink: nlink ?? node.nlink, allocated: allocated ?? node.allocated });
    }
    if (used !== undefined) putCounters(view, [used.bytes, used.inodes, countersOf(view)[2], countersOf(view)[3]]);
    for (const { ino, session, there } of kept) tables.kept[there ? "add" : "remove"](ino, session);
    for (const { ino, there } of trash)
      if (there) tables.trash.add({ ino, parent: ROOT_INO, name: "x", deletedMs: 1 });
      else tables.trash.remove(ino);
  };
  await run(transactionOf({ view, clock: realClock, begin: () => undefined, work, finish: () => undefined }), store, realClock);
}
