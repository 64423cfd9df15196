import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { VirtualClock } from "../../../base/virtual-clock.ts";
import { aStore, type StoreFixture } from "../../store-fixture.ts";
import { digestOf } from "../../digest.ts";
import { Database } from "../../keyspace/database.ts";
import { defaultParameters } from "../../parameters/parameters.ts";
import { Store } from "../../store.ts";
import { beginRdb, wholeRdb } from "../rdb-of-store.ts";
import { RdbLoader } from "../rdb-loader.ts";
import { replaceAll, stagedFor } from "../saves.ts";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { Crc64 } from "./crc64.ts";
import { dumpOf, isDump, readDump } from "./dump.ts";
import { ListpackWriter, listpackTexts } from "./listpack.ts";
import { lzfCompressed, lzfDecompressed } from "./lzf.ts";
import { intsetOf, intsetTexts, ziplistTexts, zipmapTexts } from "./old-packs.ts";
import { RdbDecoder } from "./rdb-decoder.ts";
import { RdbError } from "./rdb-error.ts";
import { readValue } from "./read-value.ts";

const bytesOf = (hex: string): Buffer => Buffer.from(hex.replaceAll(" ", ""), "hex");
const text = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 300 });
const number = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String);
const LIMITS = defaultParameters();

/** Values of every type and encoding. */
function filled(): StoreFixture {
  const fixture = aStore();
  const { call } = fixture;
  const long = "x".repeat(100);
  call("SET", "text", "hello");
  call("SET", "int", "-12345");
  call("SET", "long", "ab".repeat(20_000));
  call("SET", "expires", "later", "PX", "100000");
  call("RPUSH", "list", "a", "1", "-5000", "70000", "9000000000", long, "");
  call("SADD", "ints", "1", "-70000", "9000000000");
  call("SADD", "set", "a", "b", "1");
  call("HSET", "hash", "a", "1", "b", "");
  call("HSET", "large-hash", long, "1", "b", long);
  call("ZADD", "zset", "1", "a", "2.5", "b", "-inf", "c", "1e300", "d");
  call("ZADD", "large-zset", "1", long, "-0.25", "b");
  for (const id of ["1-1", "1-2", "5-0", "18446744073709551615-3"]) call("XADD", "stream", id, "f", "1", "g", long);
  call("XADD", "stream", "18446744073709551615-4", "other", "field");
  call("XDEL", "stream", "1-2");
  call("XGROUP", "CREATE", "stream", "group", "0");
  call("XREADGROUP", "GROUP", "group", "me", "COUNT", "2", "STREAMS", "stream", ">");
  call("XGROUP", "CREATE", "stream", "other", "5-0");
  call("SELECT", "3");
  call("SET", "in-three", "yes");
  return fixture;
}

const rdbOf = ({ store }: StoreFixture): Buffer => Buffer.concat([...wholeRdb(store, beginRdb(store), 100)]);

function load({ store }: StoreFixture, pieces: readonly Buffer[]): RdbLoader {
  const staged = stagedFor(store);
  const loader = new RdbLoader(store, staged, true);
  const decoder = new RdbDecoder(loader, store.parameters, true);
  for (const piece of pieces) decoder.feed(piece);
  decoder.end();
  replaceAll(store, staged);
  return loader;
}

test("what had expired before a store was made has expired in it, from its first moment", () => {
  const from = aStore();
  from.call("SET", "k", "v", "PXAT", String(from.clock.wallMs() + 1));
  const rdb = rdbOf(from);
  const store = new Store({ clock: new VirtualClock(from.clock.wallMs() + 1), commands: from.store.commands });
  const staged = stagedFor(store);
  const decoder = new RdbDecoder(new RdbLoader(store, staged, false), store.parameters, true);
  decoder.feed(rdb);
  decoder.end();
  replaceAll(store, staged);
  const [db] = store.databases;
  assert.deepEqual([db!.count, db!.isExpired(db!.peekText("k"))], [1, true]);
});

test("the checksum is that of Redis", () => {
  const checksum = Buffer.alloc(8);
  new Crc64().update(Buffer.from("123456789")).writeTo(checksum, 0);
  assert.equal(checksum.readBigUInt64LE(0), 0xe9c6d914c4b8d9can);
  const bytes = Buffer.from("This is a test of the emergency broadcast system.");
  const whole = new Crc64().update(bytes);
  for (let cut = 0; cut <= bytes.length; cut++) {
    whole.writeTo(checksum, 0);
    assert.ok(new Crc64().update(bytes, 0, cut).update(bytes, cut).equals(checksum, 0));
  }
});

test("what is written is read back, wherever the bytes are cut", () => {
  const fixture = filled();
  const digest = digestOf(fixture.store);
  const bytes = rdbOf(fixture);
  for (let cut = 1; cut < bytes.length; cut += 37) {
    const other = aStore();
    const loader = load(other, [bytes.subarray(0, cut), bytes.subarray(cut)]);
    assert.equal(digestOf(other.store), digest, `cut at ${cut}`);
    assert.equal(loader.fields.get("redis-bits"), "64");
  }
  const other = aStore();
  load(
    other,
    Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)),
  );
  assert.equal(digestOf(other.store), digest);
  assert.deepEqual(other.call("XPENDING", "stream", "group"), fixture.call("SELECT", "0") && fixture.call("XPENDING", "stream", "group"));
});

test("a byte that was changed, or is missing, is noticed", () => {
  const bytes = rdbOf(filled());
  for (let at = 9; at < bytes.length; at += 11) {
    const damaged = Buffer.from(bytes);
    damaged[at]! ^= 0x10;
    assert.throws(() => load(aStore(), [damaged]), RdbError, `byte ${at}`);
    assert.throws(() => load(aStore(), [bytes.subarray(0, at)]), RdbError, `cut at ${at}`);
  }
});

test("hostile payloads of DUMP are refused, or are whole values", () => {
  const { store } = filled();
  const db = store.databases[0]!;
  const dumps: Buffer[] = [];
  db.each((address) => dumps.push(dumpOf(db, address, false)));
  assert.ok(dumps.every((dump) => isDump(dump, false)));
  fc.assert(
    fc.property(
      fc.nat({ max: dumps.length - 1 }),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
      (which, changes) => {
        const dump = Buffer.from(dumps[which]!);
        for (const [at, byte] of changes) dump[at % (dump.length - 10)] = byte;
        try {
          const read = readDump(dump, LIMITS);
          if ("value" in read) new Database(0, { expired: () => {}, missed: () => {}, added: () => {} }).setObjectText("key", read.value);
        } catch (thrown) {
          if (!(thrown instanceof RdbError)) throw thrown;
        }
      },
    ),
    { numRuns: 2000 },
  );
});

test("bytes of no meaning at all are refused, whatever type they are said to have", () => {
  fc.assert(
    fc.property(fc.nat({ max: 25 }), fc.uint8Array({ maxLength: 100 }), (type, bytes) => {
      try {
        readValue(new ByteReader(Buffer.from(bytes)), type, LIMITS);
      } catch (thrown) {
        if (!(thrown instanceof RdbError)) throw thrown;
      }
    }),
    { numRuns: 3000 },
  );
});

test("strings and lengths of every form are read back", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(text, number, fc.constant("abc".repeat(1000)))),
      fc.array(fc.maxSafeNat()),
      fc.boolean(),
      (texts, counts, compresses) => {
        const writer = new ByteWriter(compresses);
        for (const each of texts) writer.text(each);
        for (const each of texts) writer.string(Buffer.from(each, "latin1"));
        for (const count of counts) writer.count(count);
        const reader = new ByteReader(writer.take());
        for (const each of texts) assert.equal(reader.text(), each);
        for (const each of texts) assert.equal(reader.string().toString("latin1"), each);
        for (const count of counts) assert.equal(reader.count(), count);
        assert.equal(reader.left, 0);
      },
    ),
  );
});

test("what LZF makes shorter comes back as it was", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom("a", "b", "abc", "hello world ", "\0\0\0\0", "xyz".repeat(100)), { minLength: 5, maxLength: 400 }),
      (parts) => {
        const source = Buffer.from(parts.join(""), "latin1");
        const packed = lzfCompressed(source);
        if (packed === undefined) return;
        assert.ok(packed.length < source.length);
        assert.ok(lzfDecompressed(packed, source.length).equals(source));
      },
    ),
  );
});

test("listpacks hold texts and numbers of every size", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(text, number, fc.constantFrom("y".repeat(5000), "z".repeat(20_000)))), (texts) => {
      const pack = new ListpackWriter();
      for (const each of texts) pack.text(each);
      assert.deepEqual(listpackTexts(pack.finish()), texts);
    }),
  );
});

test("the packs of older versions are read", () => {
  // As the description of the format has them (https://rdb.fnordig.de/file_format.html).
  const ziplist = "23 00 00 00 1e 00 00 00 04 00 00 e0 ff ff ff ff ff ff ff 7f 0a d0 ff ff 00 00 06 c0 fc 3f 04 c0 3f 00 ff";
  assert.deepEqual(ziplistTexts(bytesOf(ziplist)), ["9223372036854775807", "65535", "16380", "63"]);
  assert.deepEqual(zipmapTexts(bytesOf("02 06 4d 4b 44 31 47 36 01 00 32 05 59 4e 4e 58 4b 04 00 46 37 54 49 ff")), [
    "MKD1G6",
    "2",
    "YNNXK",
    "F7TI",
  ]);
  const intset = bytesOf("04 00 00 00 03 00 00 00 fc ff 00 00 fd ff 00 00 fe ff 00 00");
  assert.deepEqual(intsetTexts(intset), ["65532", "65533", "65534"]);
  assert.ok(intsetOf(["65532", "65533", "65534"]).equals(intset));
});

test("what this server has no type for is passed over and told", () => {
  const writer = new ByteWriter(false);
  writer.rawText("REDIS0011");
  // A value of a module, with one number and one string in it.
  writer.byte(7);
  writer.text("of-a-module");
  writer.bigCount(0x8d5e_f2a1_3c77_0001n);
  writer.count(2);
  writer.count(99);
  writer.count(5);
  writer.text("blob");
  writer.count(0);
  writer.byte(0);
  writer.text("plain");
  writer.text("there");
  writer.byte(255);
  writer.raw(Buffer.alloc(8));
  const fixture = aStore();
  const loader = load(fixture, [writer.take()]);
  assert.equal(fixture.call("GET", "plain"), "there");
  assert.deepEqual([...loader.skippedKinds.values()], [1]);
  assert.match([...loader.skippedKinds.keys()][0]!, /module/);
});

test("numbers as large as clients may give them are written, and read again", () => {
  const fixture = aStore();
  const { call } = fixture;
  const largest = "9223372036854775807";
  call("SET", "late", "1");
  assert.equal(call("PEXPIREAT", "late", largest), 1);
  const dump = String(call("DUMP", "late"));
  assert.match(String(call("RESTORE", "overflows", largest, dump)), /^-ERR invalid expire time in 'restore' command/);
  assert.equal(call("RESTORE", "restored", largest, dump, "ABSTTL"), "OK");
  call("XADD", "stream", "1-1", "f", "v");
  call("XGROUP", "CREATE", "stream", "group", "0", "ENTRIESREAD", largest);
  call("XREADGROUP", "GROUP", "group", "me", "STREAMS", "stream", ">");
  call("XCLAIM", "stream", "group", "me", "0", "1-1", "TIME", largest, "RETRYCOUNT", largest);
  assert.equal(call("XSETID", "stream", "1-1", "ENTRIESADDED", largest, "MAXDELETEDID", "0-0"), "OK");
  const other = aStore();
  load(other, [rdbOf(fixture)]);
  assert.equal(digestOf(other.store), digestOf(fixture.store));
  assert.deepEqual(other.call("XPENDING", "stream", "group", "-", "+", "1"), fixture.call("XPENDING", "stream", "group", "-", "+", "1"));
  assert.ok(Number(other.call("PEXPIRETIME", "late")) > 9.2e18);
});

test("a library of functions that is none makes the file a damaged one", () => {
  const writer = new ByteWriter(false);
  writer.rawText("REDIS0011");
  writer.byte(245);
  writer.text("#!lua name=lib\nredis.register_function(");
  writer.byte(255);
  writer.raw(Buffer.alloc(8));
  assert.throws(() => load(aStore(), [writer.take()]), /^RdbError: a library of functions that cannot be loaded: Error compiling function/);
});
