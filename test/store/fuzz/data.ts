import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AnaxError } from "../../../src/base/errors.ts";
import { replay } from "../../../src/kv/persist/journal/replay.ts";
import { RdbDecoder } from "../../../src/kv/persist/rdb/rdb-decoder.ts";
import { RdbError } from "../../../src/kv/persist/rdb/rdb-error.ts";
import { RdbLoader } from "../../../src/kv/persist/rdb-loader.ts";
import { replaceAll, stagedFor } from "../../../src/kv/persist/saves.ts";
import { aStore, type StoreFixture } from "../../../src/kv/store-fixture.ts";
import { loadCorpus, signed, textOf } from "./corpus.ts";
import { checkStore } from "./invariants.ts";
import { anyBytes, mutated, oneOf, pieces } from "./mutate.ts";
import type { Target } from "./target.ts";

const FOOTER_BYTES = 10;

/** What is done with every value that was taken. */
const ALWAYS: readonly (readonly string[])[] = [
  ["OBJECT", "ENCODING", "k"],
  ["MEMORY", "USAGE", "k"],
  ["DEBUG", "DIGEST-VALUE", "k"],
  ["COPY", "k", "copy", "REPLACE"],
  ["DUMP", "k"],
];

/** What is done with a value that was taken: everything that reads it whole, then what changes it. */
const USES: Readonly<Record<string, readonly (readonly string[])[]>> = {
  string: [
    ["GET", "k"],
    ["BITCOUNT", "k"],
    ["PFCOUNT", "k"],
    ["PFADD", "k", "x"],
    ["PFDEBUG", "GETREG", "k"],
    ["APPEND", "k", "x"],
  ],
  list: [
    ["LRANGE", "k", "0", "-1"],
    ["LINSERT", "k", "BEFORE", "1", "x"],
    ["LREM", "k", "0", "1"],
    ["LPOP", "k", "2"],
    ["RPUSH", "k", "x"],
  ],
  set: [
    ["SMEMBERS", "k"],
    ["SRANDMEMBER", "k", "-3"],
    ["SADD", "k", "x", "1"],
    ["SREM", "k", "1"],
    ["SPOP", "k"],
  ],
  hash: [
    ["HGETALL", "k"],
    ["HRANDFIELD", "k", "-3"],
    ["HINCRBYFLOAT", "k", "f", "1.5"],
    ["HDEL", "k", "a"],
    ["HSET", "k", "f", "x"],
  ],
  zset: [
    ["ZRANGE", "k", "0", "-1", "WITHSCORES"],
    ["ZRANGEBYSCORE", "k", "-inf", "+inf"],
    ["ZRANK", "k", "a"],
    ["ZINCRBY", "k", "1", "a"],
    ["ZPOPMAX", "k"],
  ],
  stream: [
    ["XRANGE", "k", "-", "+"],
    ["XINFO", "STREAM", "k", "FULL"],
    ["XPENDING", "k", "group"],
    ["XADD", "k", "*", "f", "v"],
    ["XREADGROUP", "GROUP", "group", "me", "STREAMS", "k", ">"],
    ["XAUTOCLAIM", "k", "group", "you", "0", "0"],
    ["XTRIM", "k", "MAXLEN", "1"],
    ["XGROUP", "DESTROY", "k", "group"],
  ],
};

/** RESTORE refuses a payload, or the key is as good as any other. */
export function restoreTarget(): Target {
  const { dumps } = loadCorpus();
  const fixture = aStore({ "proto-max-bulk-len": 1024 * 1024 });
  fixture.store.skipsChecksums = true;
  return storeTarget(fixture, (random, input) => {
    const base = oneOf(random, dumps);
    const body = base.subarray(0, base.length - FOOTER_BYTES);
    const bodies = dumps.map((dump) => dump.subarray(1, dump.length - FOOTER_BYTES));
    const payload = signed(
      random.below(20) === 0
        ? Buffer.concat([Buffer.from([random.below(25)]), anyBytes(random, random.below(60))])
        : mutated(body, random, bodies),
    );
    input(payload);
    const { call } = fixture;
    const ttl = oneOf(random, ["0", "0", "100000", "9223372036854775807"]);
    const reply = call("RESTORE", "k", ttl, textOf(payload), "REPLACE");
    if (reply !== "OK") return assert.match(String(reply), /^-ERR (Bad data format|DUMP payload|invalid expire time)/);
    checkStore(fixture.store);
    const type = String(call("TYPE", "k"));
    for (const command of [...ALWAYS, ...(USES[type] ?? [])]) call(...command);
    checkStore(fixture.store);
  });
}

/** A damaged RDB is refused by its own error, however its bytes come; what was taken is a store as any other. */
export function rdbTarget(): Target {
  const { rdbs, dumps } = loadCorpus();
  const fixture = aStore();
  return storeTarget(fixture, (random, input) => {
    const bytes = mutated(oneOf(random, rdbs), random, [...rdbs, ...dumps]);
    input(bytes);
    const { store } = fixture;
    const staged = stagedFor(store);
    const decoder = new RdbDecoder(new RdbLoader(store, staged, random.below(2) === 0, true), store.parameters, false);
    try {
      for (const piece of pieces(bytes, random)) decoder.feed(piece);
      decoder.end();
    } catch (thrown) {
      if (!(thrown instanceof RdbError)) throw thrown;
      return;
    } finally {
      store.scripting.libraries.clear();
    }
    replaceAll(store, staged);
    checkStore(store);
  });
}

/** A damaged journal is refused by its own error, or cut where it ends too early. */
export function journalTarget(): Target {
  const { journals, rdbs } = loadCorpus();
  const directory = mkdtempSync(join(tmpdir(), "anax-fuzz-"));
  const path = join(directory, "journal");
  const fixture = aStore();
  const target = storeTarget(fixture, async (random, input) => {
    const tail = random.below(3) === 0 ? [oneOf(random, rdbs)] : [];
    const bytes = mutated(Buffer.concat([...tail, oneOf(random, journals)]), random, journals);
    input(bytes);
    writeFileSync(path, bytes);
    const { store, call } = fixture;
    call("FLUSHALL");
    call("FUNCTION", "FLUSH");
    try {
      const replayed = await replay(store, path);
      assert.equal(replayed.bytes, bytes.length);
    } catch (thrown) {
      if (!(thrown instanceof RdbError) && !(thrown instanceof AnaxError && thrown.code === "disk.corrupt")) throw thrown;
    }
    checkStore(store);
  });
  return { ...target, [Symbol.asyncDispose]: async () => rmSync(directory, { recursive: true }) };
}

/** Of a store without a network: it answers after each case, and has nothing left once all keys are gone. */
function storeTarget({ store, call }: StoreFixture, run: Target["run"]): Target {
  const used = (): number => store.usedBytes;
  call("FLUSHALL");
  const emptyBytes = used();
  return {
    async run(random, input) {
      await run(random, input);
      assert.equal(call("PING"), "PONG");
    },
    check() {
      checkStore(store);
      call("FLUSHALL");
      call("FUNCTION", "FLUSH");
      assert.equal(used(), emptyBytes, "memory of keys that are gone");
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
