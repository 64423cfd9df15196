import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { z } from "zod";
import { describeSettings, envNameOf, loadSettings, withoutSecrets } from "./config.ts";
import { nearestOf } from "./nearest.ts";
import { AnaxError } from "./errors.ts";
import { byteSize, duration } from "./quantity.ts";

const Schema = z.strictObject({
  dataDir: z.string().default("/data").describe("Where."),
  p2p: z
    .strictObject({
      pieceBytesMin: byteSize({ min: "256KiB", max: "64MiB" })
        .default(4 * 1024 ** 2)
        .describe("Smallest piece."),
      timeoutMs: duration({ min: "1ms", max: "1h" }).prefault("30s"),
      schedulers: z.array(z.string()).default([]),
    })
    .prefault({}),
});

function withFile<T>(text: string, use: (file: string) => T): T {
  const dir = mkdtempSync(join(tmpdir(), "anax-config-"));
  const file = join(dir, "anax.yaml");
  writeFileSync(file, text);
  try {
    return use(file);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const problemsOf = (work: () => unknown): string => {
  try {
    work();
  } catch (thrown) {
    assert.ok(thrown instanceof AnaxError);
    return `${thrown.code} ${String(thrown.details["problems"])}`;
  }
  return assert.fail("nothing was thrown");
};

test("defaults, file, environment and flags override each other in that order", () => {
  withFile("p2p:\n  pieceBytesMin: 8MiB\n  timeoutMs: 2s\n  schedulers: [a:1]\n", (file) => {
    const env = { ANAX_P2P_TIMEOUT_MS: "5s", ANAX_P2P_SCHEDULERS: "[b:2, c:3]" };
    const settings = loadSettings(Schema, { file, env, texts: { dataDir: "123" }, flags: { "p2p.timeoutMs": "7s" } });
    assert.deepEqual(settings, { dataDir: "123", p2p: { pieceBytesMin: 8 * 1024 ** 2, timeoutMs: 7000, schedulers: ["b:2", "c:3"] } });
    assert.ok(Object.isFrozen(settings.p2p));
  });
});

test("an unknown key names the nearest known one", () => {
  const problems = withFile("p2p:\n  pieceByteMin: 8MiB\n", (file) => problemsOf(() => loadSettings(Schema, { file, env: {} })));
  assert.match(problems, /^config\.invalid .*p2p\.pieceByteMin.*did you mean p2p\.pieceBytesMin/);
});

test("a value out of bounds, bad YAML and a missing file are each one clear error", () => {
  assert.match(
    withFile("p2p: {pieceBytesMin: 1KiB}", (file) => problemsOf(() => loadSettings(Schema, { file, env: {} }))),
    /p2p\.pieceBytesMin: .*256KiB to 64MiB/,
  );
  assert.match(
    withFile("p2p: [", (file) => problemsOf(() => loadSettings(Schema, { file, env: {} }))),
    /^config\.invalid/,
  );
  assert.match(
    problemsOf(() => loadSettings(Schema, { file: "/nonexistent/anax.yaml", env: {} })),
    /^config\.unreadable/,
  );
});

test("an older name is accepted, in a file and in the environment, and gives way to the newer one", () => {
  const renamed = z.strictObject({ p2p: z.strictObject({ countMax: z.int().default(1).meta({ formerly: "count" }) }).prefault({}) });
  const read = (text: string, env: Readonly<Record<string, string>> = {}) =>
    withFile(text, (file) => loadSettings(renamed, { file, env }).p2p.countMax);
  assert.deepEqual(
    [
      read("p2p: { count: 2 }"),
      read("p2p: { count: 2, countMax: 3 }"),
      read("{}", { ANAX_P2P_COUNT: "4" }),
      read("{}", { ANAX_P2P_COUNT: "4", ANAX_P2P_COUNT_MAX: "5" }),
    ],
    [2, 3, 4, 5],
  );
  assert.equal(loadSettings(renamed, { env: {}, texts: { "p2p.count": "6" } }).p2p.countMax, 6);
});

test("every setting has a path, an environment name and its description", () => {
  const [first, second] = describeSettings(Schema);
  assert.deepEqual(first, { path: "dataDir", env: "ANAX_DATA_DIR", type: "string", default: "/data", description: "Where." });
  assert.equal(second?.type, "a size such as 4MiB, 256KiB to 64MiB");
  assert.equal(envNameOf(["p2p", "pieces", "quotaBytes"]), "ANAX_P2P_PIECES_QUOTA_BYTES");
});

test("the nearest word is found only when it is near", () => {
  assert.equal(nearestOf("qouta", ["quota", "dir"]), "quota");
  assert.equal(nearestOf("elephant", ["quota", "dir"]), undefined);
});

test("secrets are masked wherever the schema has them, and passwords in URLs", () => {
  const schema = z.object({
    token: z.string().optional().meta({ secret: true }),
    absent: z.string().optional().meta({ secret: true }),
    proxyUrl: z.string().optional(),
    places: z.record(z.string(), z.object({ user: z.string(), password: z.string().meta({ secret: true }) })).default({}),
    list: z.array(z.object({ key: z.string().meta({ secret: true }) })).default([]),
  });
  const settings = schema.parse({
    token: "hidden",
    proxyUrl: "http://me:hidden@proxy.example:3128/",
    places: { "a.example": { user: "me", password: "hidden" } },
    list: [{ key: "hidden" }],
  });
  assert.deepEqual(withoutSecrets(schema, settings), {
    token: "[secret]",
    proxyUrl: "http://me:[secret]@proxy.example:3128/",
    places: { "a.example": { user: "me", password: "[secret]" } },
    list: [{ key: "[secret]" }],
  });
});
