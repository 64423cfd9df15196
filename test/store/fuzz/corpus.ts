import { readFileSync } from "node:fs";
import { latin1Of } from "../../../src/base/latin1.ts";
import { Crc64 } from "../../../src/kv/persist/rdb/crc64.ts";
import { ByteWriter } from "../../../src/kv/persist/rdb/byte-writer.ts";
import { RDB } from "../../../src/kv/persist/rdb/rdb-types.ts";
import { beginRdb } from "../../../src/kv/persist/rdb-of-store.ts";
import type { Address } from "../../../src/kv/keyspace/arena.ts";
import { commandBytes } from "../../../src/kv/propagation.ts";
import type { Store } from "../../../src/kv/store.ts";
import { aStore } from "../../../src/kv/store-fixture.ts";

/** Real files and payloads, of Redis and of ours. */
export interface Corpus {
  readonly rdbs: readonly Buffer[];
  /** As DUMP answers them. */
  readonly dumps: readonly Buffer[];
  readonly journals: readonly Buffer[];
}

const long = "x".repeat(100);
const many = (count: number, of: (n: number) => string[]): string[] => Array.from({ length: count }, (_, n) => of(n)).flat();

/** Commands that make values of every type in every encoding. */
export const FILLING: readonly (readonly string[])[] = [
  ["SET", "text", "hello"],
  ["SET", "int", "-12345"],
  ["SET", "compressible", "ab".repeat(500)],
  ["SET", "expires", "later", "PXAT", "4102444800000"],
  ["RPUSH", "list", "a", "1", "-5000", "70000", "9000000000", "-9223372036854775808", long, ""],
  ["RPUSH", "long-list", ...many(60, (n) => [`${n}`, "y".repeat(n)])],
  ["SADD", "ints16", "1", "-300"],
  ["SADD", "ints32", "1", "-70000"],
  ["SADD", "ints64", "1", "9000000000"],
  ["SADD", "set", "a", "b", "1", long],
  ["SADD", "large-set", ...many(140, (n) => [`m${n}`])],
  ["HSET", "hash", "a", "1", "b", "", "c", "-70000"],
  ["HSET", "large-hash", long, "1", "b", long],
  ["ZADD", "zset", "1", "a", "2.5", "b", "-inf", "c", "1e300", "d"],
  ["ZADD", "large-zset", "1", long, "-0.25", "b"],
  ["PFADD", "unique", ...many(50, (n) => [`${n}`])],
  ["SETBIT", "bits", "100", "1"],
  ["XADD", "stream", "1-1", "f", "1", "g", long],
  ["XADD", "stream", "1-2", "f", "1", "g", "2"],
  ["XADD", "stream", "5-0", "other", "field"],
  ["XDEL", "stream", "1-2"],
  ["XGROUP", "CREATE", "stream", "group", "0"],
  ["XREADGROUP", "GROUP", "group", "me", "COUNT", "1", "STREAMS", "stream", ">"],
  ["XGROUP", "CREATE", "stream", "other", "5-0", "ENTRIESREAD", "2"],
  ["XGROUP", "CREATECONSUMER", "stream", "other", "idle"],
  ["FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('one', function() return 1 end)"],
];

/** What `record.ts` has got of Redis 7.0: an RDB, the payload of each key, a journal. Base64. */
interface Recorded {
  readonly rdb: string;
  readonly dumps: Readonly<Record<string, string>>;
  readonly journal: string;
}

export function loadCorpus(): Corpus {
  const recorded = JSON.parse(readFileSync(new URL("redis-7.0.json", import.meta.url), "utf8")) as Recorded;
  const { call, store } = aStore();
  for (const command of FILLING) call(...command);
  const keys = FILLING.map(([, key]) => key!).filter((key) => call("EXISTS", key) === 1);
  const own = keys.map((key) => Buffer.from(String(call("DUMP", key)), "latin1"));
  return {
    rdbs: [bytesOf(recorded.rdb), rdbInOrder(store)],
    dumps: [...Object.values(recorded.dumps).map(bytesOf), ...own, ...OLD],
    journals: [bytesOf(recorded.journal), Buffer.concat([...FILLING.map((command) => commandBytes(...command)), Buffer.from("#TS:1\r\n")])],
  };
}

/** By key: the order of a table differs each time, and with it what a seed finds. */
function rdbInOrder(store: Store): Buffer {
  const [db] = store.databases;
  const addresses: Address[] = [];
  db!.each((address) => void addresses.push(address));
  const encoder = beginRdb(store);
  for (const address of addresses.toSorted((a, b) => (db!.keyOf(a) < db!.keyOf(b) ? -1 : 1))) encoder.entry(db!, 0, address);
  encoder.end();
  return encoder.take();
}

const bytesOf = (text: string): Buffer => Buffer.from(text, "base64");

const packed = (type: number, hex: string): Buffer => {
  const writer = new ByteWriter(false);
  writer.byte(type);
  writer.string(Buffer.from(hex.replaceAll(" ", ""), "hex"));
  return signed(writer.take());
};

/** With version and checksum behind it. */
export function signed(payload: Buffer): Buffer {
  const dump = Buffer.concat([payload, Buffer.from([9, 0]), Buffer.alloc(8)]);
  new Crc64().update(dump, 0, payload.length + 2).writeTo(dump, payload.length + 2);
  return dump;
}

const ZIPLIST = "23 00 00 00 1e 00 00 00 04 00 00 e0 ff ff ff ff ff ff ff 7f 0a d0 ff ff 00 00 06 c0 fc 3f 04 c0 3f 00 ff";

/** Packs of older versions, as the description of the format has them (https://rdb.fnordig.de/file_format.html). */
const OLD: readonly Buffer[] = [
  packed(RDB.LIST_ZIPLIST, ZIPLIST),
  packed(RDB.HASH_ZIPLIST, ZIPLIST),
  packed(RDB.ZSET_ZIPLIST, ZIPLIST),
  packed(RDB.HASH_ZIPMAP, "02 06 4d 4b 44 31 47 36 01 00 32 05 59 4e 4e 58 4b 04 00 46 37 54 49 ff"),
  packed(RDB.SET_INTSET, "04 00 00 00 03 00 00 00 fc ff 00 00 fd ff 00 00 fe ff 00 00"),
];

export const textOf = (bytes: Buffer): string => latin1Of(bytes, 0, bytes.length);
