import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { builtProgram } from "../kit/build.ts";
import { must, run } from "../kit/process.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const MODULES = join(ROOT, "node_modules");

const PROGRAM = `
import { startStore, type RunningStore, type StoreOptions } from "anax";
import { createConnection } from "node:net";

const options: StoreOptions = { port: 0, parameters: { "maxmemory-policy": "allkeys-lru" } };
await using first: RunningStore = await startStore(options);
await using second: RunningStore = await startStore({ port: 0 });
const ask = (port: number, line: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = createConnection({ port }, () => void socket.write(line + "\\r\\n"));
    socket.once("data", (bytes) => {
      socket.destroy();
      resolve(String(bytes));
    });
  });
await ask(first.port, "SET a 1");
const codes: unknown[] = [];
for (const wrong of [{ port: first.port }, { port: 0, dataDir: "/dev/null/data" }])
  try {
    await using _ = await startStore(wrong);
  } catch (error) {
    codes.push((error as { code?: unknown }).code);
  }
console.log(JSON.stringify([await ask(first.port, "GET a"), await ask(second.port, "GET a"), await ask(second.port, "EVAL 'return 42' 0"), codes]));
`;

test("the package, installed into an empty project, starts stores in a program with types, and lets it end by itself", async () => {
  builtProgram();
  await using directory = await temporaryDirectory();
  const cwd = join(directory.path, "project");
  mkdirSync(join(cwd, "node_modules/anax"), { recursive: true });
  const packed = JSON.parse(await must("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", cwd], { cwd: ROOT })) as
    | readonly { readonly filename: string }[]
    | Readonly<Record<string, { readonly filename: string }>>;
  const [{ filename } = { filename: "" }] = Object.values(packed);
  await must("tar", ["-xzf", join(cwd, filename), "-C", join(cwd, "node_modules/anax"), "--strip-components=1"]);
  // What npm would install besides, without asking a registry.
  symlinkSync(MODULES, join(directory.path, "node_modules"));
  writeFileSync(join(cwd, "package.json"), '{ "type": "module", "private": true }');
  writeFileSync(join(cwd, "main.ts"), PROGRAM);
  const flags = [
    "--noEmit",
    "--strict",
    "--module",
    "nodenext",
    "--target",
    "es2024",
    "--lib",
    "es2024,esnext.disposable",
    "--types",
    "node",
  ];
  await must(join(MODULES, ".bin/tsc"), [...flags, "main.ts"], {
    cwd,
    env: { PATH: `${dirname(process.execPath)}:${process.env["PATH"]}` },
  });
  const printed = await must(process.execPath, ["main.ts"], { cwd, timeoutMs: 60_000 });
  assert.deepEqual(JSON.parse(printed), ["$1\r\n1\r\n", "$-1\r\n", ":42\r\n", ["listen.address-in-use", "disk.io"]]);

  const old = await run("/usr/bin/node", ["--version"]);
  if (!/^v(20|22)\./.test(old.stdout)) return; // whoever has only a newer one cannot see what an older one is told
  writeFileSync(join(cwd, "old.mjs"), 'import("anax").catch((error) => console.log(error.code, error.message));');
  assert.match(
    await must("/usr/bin/node", ["old.mjs"], { cwd }),
    /^runtime\.unsupported anax needs Node 24\.12 or newer, this is v2[02]\./,
  );
});
