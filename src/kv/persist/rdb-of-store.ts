import type { Store } from "../store.ts";
import { HOLDING, holdingText } from "../slots/holding.ts";
import { REDIS_VERSION } from "../version.ts";
import { RdbEncoder } from "./rdb/rdb-encoder.ts";

/** How often slots that have moved here had been put in place by then: docs/formats/slot-migration.md. */
export const PROMOTIONS = "anax-promotions";

/** An RDB of this store with its start written. `fields`: what else is told of it; by itself, where it is in the history of changes. */
export function beginRdb(store: Store, fields = store.replication?.snapshotFields ?? []): RdbEncoder {
  const { parameters } = store;
  const policy = parameters["maxmemory-policy"];
  const encoder = new RdbEncoder({
    compresses: parameters.rdbcompression,
    checksums: parameters.rdbchecksum,
    usage: policy.endsWith("-lru") ? "lru" : policy.endsWith("-lfu") ? "lfu" : "none",
    lfuDecayMinutes: parameters["lfu-decay-time"],
  });
  encoder.begin(
    [
      ["redis-ver", REDIS_VERSION],
      ["redis-bits", "64"],
      ["ctime", String(Math.floor(store.nowMs / 1000))],
      ["used-mem", String(store.usedBytes)],
      ...(store.promotions.last === 0 ? [] : [[PROMOTIONS, String(store.promotions.last)] as const]),
      ...(store.holding === undefined ? [] : [[HOLDING, holdingText(store.holding)] as const]),
      ...fields,
    ],
    [...store.scripting.libraries.all].map(({ code }) => code),
  );
  return encoder;
}

/** The whole RDB at once, with nothing in between. */
export function* wholeRdb(store: Store, encoder: RdbEncoder, chunkBytes: number): Generator<Buffer> {
  for (const db of store.databases) {
    let cursor = 0;
    do {
      cursor = db.scan(cursor, (address) => encoder.entry(db, db.index, address));
      if (encoder.length >= chunkBytes) yield encoder.take();
    } while (cursor !== 0);
  }
  encoder.end();
  yield encoder.take();
}
