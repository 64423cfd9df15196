import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ERRORS } from "../src/base/errors.ts";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Which rooms a room may import besides itself. Services meet through ports that `node` plugs, never directly. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  cli: ["node", "p2p", "volume", "wire", "disk", "base"],
  node: ["control", "p2p", "kv", "volume", "register", "disk", "wire", "base"],
  control: ["register", "disk", "wire", "base"],
  p2p: ["disk", "wire", "base"],
  kv: ["register", "disk", "wire", "base"],
  volume: ["register", "disk", "wire", "base"],
  register: ["wire", "base"],
  disk: ["base"],
  wire: ["base"],
  base: [],
};

/** The same inside `p2p`: the scheduler decides and knows nothing of the daemon that does. */
const MAY_IMPORT_IN_P2P: Readonly<Record<string, readonly string[]>> = {
  daemon: ["model", "pieces", "source"],
  proxy: ["daemon", "model", "pieces", "source"],
  scheduler: ["model"],
  pieces: ["model"],
  source: ["model"],
  model: [],
};

interface Import {
  readonly file: string;
  readonly target: string;
}

const sources = filesUnder("src").filter((file) => file.endsWith(".ts") && !file.includes("/gen/"));

test("imports follow the room table", () => {
  const wrong = sources
    .flatMap(importsOf)
    .filter(({ file, target }) => !allowed(file, target))
    .map(({ file, target }) => `${file} imports ${target}`);
  assert.deepEqual(wrong, []);
});

test("no unfinished work is left in the sources", () => {
  const words = /[F]IXME|[T]ODO|[X]XX/;
  assert.deepEqual(
    [...sources, ...filesUnder("test"), ...filesUnder("bench")].filter((file) => words.test(readFileSync(join(ROOT, file), "utf8"))),
    [],
  );
});

test("every error code is thrown or mapped somewhere, and documented", () => {
  const text = sources.filter((file) => file !== "src/base/errors.ts").map((file) => readFileSync(join(ROOT, file), "utf8"));
  const table = readFileSync(join(ROOT, "src/base/errors.ts"), "utf8");
  const reference = readFileSync(join(ROOT, "docs/reference/errors.md"), "utf8");
  for (const code of Object.keys(ERRORS)) {
    const used = text.some((source) => source.includes(`"${code}"`)) || table.split(`"${code}"`).length > 2 || code === "internal";
    assert.ok(used, `${code} is in the table but nothing uses it`);
    assert.ok(reference.includes(`\`${code}\``), `${code} is not in docs/reference/errors.md`);
  }
});

test("every command has a test that names it", () => {
  const tests = [...filesUnder("test"), ...filesUnder("src/cli").filter((file) => file.endsWith(".test.ts"))]
    .filter((file) => file.endsWith(".test.ts"))
    .map((file) => readFileSync(join(ROOT, file), "utf8"))
    .join("\n");
  const commands = filesUnder("src/cli")
    .map((file) => /^src\/cli\/commands\/([a-z-]+)\.ts$/.exec(file)?.[1])
    .filter((name) => name !== undefined);
  assert.deepEqual(
    commands.filter((name) => !new RegExp(`["'\`]${name}["'\`]`).test(tests)),
    [],
  );
});

function allowed(file: string, target: string): boolean {
  const [, room, inner] = file.split("/");
  const [, targetRoom, targetInner] = target.split("/");
  if (room !== targetRoom) return (MAY_IMPORT[room!] ?? []).includes(targetRoom!);
  if (room !== "p2p" || inner === targetInner) return true;
  return (MAY_IMPORT_IN_P2P[inner!] ?? []).includes(targetInner!);
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(ROOT, file), "utf8");
  return [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)]
    .map((match) => ({
      file,
      target: relative(ROOT, resolve(ROOT, dirname(file), match[1]!)), // the pattern has the group
    }))
    .filter(({ target }) => target.startsWith("src/"));
}

function filesUnder(dir: string): string[] {
  return readdirSync(join(ROOT, dir), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)));
}
