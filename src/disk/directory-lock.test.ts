import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { lockDirectory } from "./directory-lock.ts";

const HOLDER = `
  const { lockDirectory } = await import(process.argv[1]);
  globalThis.lock = await lockDirectory(process.argv[2]);
  process.stdout.write("locked");
  process.stdin.resume();
`;

/** Another process that holds the lock. */
async function aHolder(dir: string): Promise<ChildProcess> {
  const module = new URL("./directory-lock.ts", import.meta.url).href;
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", HOLDER, module, dir], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  assert.equal(String((await once(child.stdout, "data"))[0]), "locked");
  return child;
}

async function aDirectory(): Promise<AsyncDisposable & { readonly dir: string }> {
  const dir = await mkdtemp(join(tmpdir(), "anax-lock-"));
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

test("a directory that another process has locked is refused with its pid, until that process is killed", async () => {
  await using place = await aDirectory();
  const holder = await aHolder(place.dir);
  await assert.rejects(lockDirectory(place.dir), { code: "daemon.already-running", details: { dir: place.dir, pid: holder.pid } });
  await writeFile(join(place.dir, "anax.pid"), "999999999\n"); // what the file says is only for the message
  await assert.rejects(lockDirectory(place.dir), { code: "daemon.already-running" });
  holder.kill("SIGKILL");
  await once(holder, "exit");
  await using _ = await lockDirectory(place.dir);
  assert.equal(await readFile(join(place.dir, "anax.pid"), "utf8"), `${process.pid}\n`);
});

test("the same process cannot lock a directory twice, but again after it gave it back", async () => {
  await using place = await aDirectory();
  const lock = await lockDirectory(join(place.dir, "new"));
  await assert.rejects(lockDirectory(lock.dir), { code: "daemon.already-running", details: { dir: lock.dir, pid: process.pid } });
  await lock[Symbol.asyncDispose]();
  await lock[Symbol.asyncDispose]();
  await assert.rejects(access(join(lock.dir, "anax.pid")), { code: "ENOENT" });
  await using _ = await lockDirectory(lock.dir);
});

test("a directory that cannot be made is a disk error", async () => {
  await using place = await aDirectory();
  await writeFile(join(place.dir, "file"), "");
  await assert.rejects(lockDirectory(join(place.dir, "file", "below")), { code: "disk.io" });
});
