import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AnaxError } from "../../../src/base/errors.ts";
import type { Random } from "../../../src/base/random.ts";
import { CommandError } from "../../../src/kv/command-error.ts";
import { COMMANDS } from "../../../src/kv/commands/all.ts";
import { CommandTable } from "../../../src/kv/commands/table.ts";
import { readRedisConf, settingsOfDirectives } from "../../../src/kv/parameters/redis-conf.ts";
import { PARAMETERS } from "../../../src/kv/parameters/parameters.ts";
import { Store } from "../../../src/kv/store.ts";
import { aStore } from "../../../src/kv/store-fixture.ts";
import { textOf } from "./corpus.ts";
import { anyBytes, mutated, oneOf } from "./mutate.ts";
import type { Target } from "./target.ts";

/** Texts to begin with, for each library; what is called with a text. */
const LIBRARIES: Readonly<Record<string, { readonly script: string; readonly bases: readonly string[] }>> = {
  "cjson.decode": {
    script: "return cjson.encode(cjson.decode(ARGV[1]))",
    bases: ['{"a":[1,-2.5e3,true,null,"\\u00e9\\ud83d\\ude00"],"b":{"c":{}}}', "[[[[1]]]]", '"\\n\\"\\\\"', "[1e308,-0,0.1]"],
  },
  "cmsgpack.unpack": {
    script: "return cmsgpack.pack(cmsgpack.unpack(ARGV[1]))",
    bases: [
      "\x82\xa1a\x93\x01\xcb\x3f\xf8\0\0\0\0\0\0\xc3\xa1b\xc0",
      "\xdc\0\x02\xd9\x03abc\xd3\xff\xff\xff\xff\xff\xff\xff\xff",
      "\xde\0\x01\x01\xdf\0\0\0\x01\x02\xdd\0\0\0\x01\x03",
      "\xdb\0\0\0\x02hi\xcf\x7f\xff\xff\xff\xff\xff\xff\xff\xca\x3f\x80\0\0",
    ],
  },
  "cmsgpack.unpack_limit": { script: "return {cmsgpack.unpack_limit(ARGV[1], 2, 1)}", bases: ["\x93\x01\x02\x03\xa3abc", "\x01\x02\x03"] },
  "struct.unpack": { script: "return {struct.unpack(ARGV[1], ARGV[2])}", bases: [">I4", "<hbs", "!8dBc0", "=LxxTf", "i16", ">!4 i3 c5 d"] },
  "struct.pack": { script: "return struct.pack(ARGV[1], 1, 'text', 2.5, ARGV[2])", bases: [">I4s", "<hs", "!8isd", "b", "I32"] },
  "string.format": { script: "return string.format(ARGV[1], 1, 'a', 2.5, 'b')", bases: ["%d %s %g %q", "%-20.10f%%", "%5s%x", "%99.99e"] },
  "string.rep": { script: "return #string.rep(ARGV[1], tonumber(ARGV[2]) or 3)", bases: ["abc", "x"] },
  "string.gsub": {
    script: "return {string.gsub('hello world, hello', ARGV[1], '<%0>')}",
    bases: ["(h)(.-)o", "%w+", "[^%s]*", "%b()", "%f[%w]%w+", "()l"],
  },
  bit: {
    script: "return {bit.tohex(tonumber(ARGV[1]) or 0, 99), bit.lshift(1, #ARGV[1]), bit.bswap(#ARGV[2])}",
    bases: ["255", "-1", "1e300", "nan"],
  },
};
const SOURCES = [
  "local t = {} for i = 1, 10 do t[i] = i * 2 end return t",
  "local function f(n) if n < 2 then return n end return f(n - 1) + f(n - 2) end return f(10)",
  "return redis.call('SET', KEYS[1] or 'k', ARGV[1]), pcall(error, { err = 'x' })",
  "local s = [[a]] .. 'b' repeat s = s .. #s until #s > 10 return {s:upper(), s:find('%d'), -2^3, not nil}",
  "local co = coroutine.wrap(function(...) for _, v in ipairs({...}) do coroutine.yield(v) end end) return co(1, 2)",
];

/** Scripts and their libraries end with a reply whatever bytes they get, and never hold the thread for longer than they may. */
export function luaTarget(): Target {
  const { call } = aStore({ "busy-reply-threshold": 0 });
  return {
    run(random, input) {
      const [name] = [oneOf(random, Object.keys(LIBRARIES))];
      const { script, bases } = LIBRARIES[name]!;
      const asSource = random.below(6) === 0;
      const base = Buffer.from(asSource ? oneOf(random, SOURCES) : oneOf(random, bases), "latin1");
      const bytes =
        random.below(30) === 0
          ? anyBytes(random, random.below(60))
          : mutated(
              base,
              random,
              bases.map((text) => Buffer.from(text, "latin1")),
            );
      input(Buffer.concat([Buffer.from(`${asSource ? "source" : name}\n`), bytes]));
      // A loop that has been made endless is stopped by what it may take in all.
      if (asSource && /while|repeat|for|goto|function/.test(textOf(bytes))) return;
      const reply = asSource
        ? call("EVAL", textOf(bytes), "1", "k", "v")
        : call("EVAL", script, "0", textOf(bytes), textOf(anyBytes(random, random.below(40))));
      assert.ok(reply === null || reply !== undefined);
      assert.equal(call("EVAL", "return 1 + 1", "0"), 2);
    },
    check: () => void call("SCRIPT", "FLUSH"),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A redis.conf is refused with its problems, or a store can be made of it. */
export function redisConfTarget(): Target {
  const directory = mkdtempSync(join(tmpdir(), "anax-fuzz-"));
  const path = join(directory, "redis.conf");
  const commands = new CommandTable(COMMANDS);
  const clock = aStore().store.clock;
  return {
    run(random, input) {
      const bytes = random.below(3) === 0 ? anyConf(random) : mutated(anyConf(random), random, [anyConf(random)]);
      input(bytes);
      // Whom it includes is another file, of which this is none.
      if (/^\s*"?'?include/im.test(textOf(bytes))) return;
      writeFileSync(path, bytes);
      try {
        const { parameters, users } = settingsOfDirectives(readRedisConf(path));
        if ((parameters.databases ?? 0) > 100) return;
        const store = new Store({ clock, commands, parameters: { ...parameters, "oom-score-adj": "no", aclfile: "" } });
        store.acl.define(
          users.map((words) => ({ words: ["user", ...words], from: "user" })),
          store.acl.default.copy(),
        );
      } catch (thrown) {
        const expected = thrown instanceof CommandError || (thrown instanceof AnaxError && thrown.code === "config.invalid");
        if (!expected) throw thrown;
      }
    },
    check: () => undefined,
    [Symbol.asyncDispose]: async () => rmSync(directory, { recursive: true }),
  };
}

const VALUES = [
  "yes",
  "no",
  "0",
  "1",
  "-1",
  "100mb",
  "1gb",
  "1e9",
  "99999999999999999999",
  "5%",
  '""',
  '"a b"',
  "'",
  '"\\x',
  "everysec",
  "allkeys-lru",
  "900 1 300 10",
  "normal 0 0 0",
  "KEA",
];
const USERS = [
  "user ann on >pw ~a* +@read",
  "user bob off nopass resetkeys",
  "user x +get|set -@all %R~k &ch",
  "user (+get ~k)",
  "user y #00ff",
];

function anyConf(random: Random): Buffer {
  const lines = Array.from({ length: 1 + random.below(8) }, () => {
    if (random.below(5) === 0) return oneOf(random, USERS);
    if (random.below(8) === 0) return oneOf(random, ["# remark", "", "unknown-name 1", "   "]);
    return `${oneOf(random, Object.keys(PARAMETERS))} ${oneOf(random, VALUES)}`;
  });
  return Buffer.from(lines.join(oneOf(random, ["\n", "\r\n"])));
}
