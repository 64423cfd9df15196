import assert from "node:assert/strict";
import { VirtualClock } from "../../../src/base/virtual-clock.ts";
import { digestOf } from "../../../src/kv/digest.ts";
import { STREAM } from "../../../src/kv/keyspace/value.ts";
import { RdbDecoder } from "../../../src/kv/persist/rdb/rdb-decoder.ts";
import { RdbLoader } from "../../../src/kv/persist/rdb-loader.ts";
import { beginRdb, wholeRdb } from "../../../src/kv/persist/rdb-of-store.ts";
import { replaceAll, stagedFor } from "../../../src/kv/persist/saves.ts";
import { Store } from "../../../src/kv/store.ts";

/** What must hold of any store: its keys are as many as it counts, none is empty, and all of them come back from an RDB as they are. */
export function checkStore(store: Store): void {
  for (const db of store.databases) {
    let found = 0;
    db.each((address) => {
      found++;
      const value = db.objectOf(address);
      assert.ok(value === undefined || value.size > 0 || db.typeOf(address) === STREAM, `${db.keyOf(address)} has nothing in it`);
    });
    assert.equal(found, db.count);
    assert.ok(Number.isSafeInteger(db.usedBytes) && db.usedBytes >= 0, `${db.usedBytes} bytes used`);
  }
  const clock = new VirtualClock(store.nowMs); // nothing expires in between
  const other = new Store({ clock, commands: store.commands, parameters: { databases: store.databases.length } });
  other.tick();
  const staged = stagedFor(other);
  const decoder = new RdbDecoder(new RdbLoader(other, staged, true), other.parameters, true);
  for (const chunk of wholeRdb(store, beginRdb(store), 64 * 1024)) decoder.feed(chunk);
  decoder.end();
  replaceAll(other, staged);
  assert.equal(digestOf(other), digestOf(store), "an RDB brings back what there was");
}
