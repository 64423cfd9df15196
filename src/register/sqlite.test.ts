import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { realClock } from "../base/clock.ts";
import { openRegister } from "./open-register.ts";
import { coded, registerConformance } from "./register.conformance.ts";

const directory = mkdtempSync(join(tmpdir(), "anax-register-"));
after(() => rmSync(directory, { recursive: true }));
const url = `sqlite:${join(directory, "register.db")}`;

registerConformance("SQLite", { open: () => openRegister(url, { clock: realClock, timeoutMs: 10_000 }) });

/** Adds `count` to the number in a cell, and says so on standard output for each. */
const WRITER = `
import { realClock } from ${JSON.stringify(new URL("../base/clock.ts", import.meta.url).href)};
import { openRegister } from ${JSON.stringify(new URL("./open-register.ts", import.meta.url).href)};
const [url, count] = process.argv.slice(1);
await using register = await openRegister(url, { clock: realClock, timeoutMs: 20000 });
for (let added = 0; added < Number(count); ) {
  const { version, value } = await register.read("processes");
  const outcome = await register.compareAndSet("processes", { expected: version, value: String(Number(value) + 1) });
  if (outcome.kind === "set") { added++; process.stdout.write("+"); }
}`;

const writer = (count: number) =>
  spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", WRITER, url, String(count)], {
    stdio: ["ignore", "pipe", "inherit"],
  });

test("processes that write at the same time, one of them killed: what was confirmed is there", async () => {
  const killed = writer(1_000_000);
  let confirmed = 0;
  killed.stdout.on("data", (bytes: Buffer) => (confirmed += bytes.length));
  // From the start: they may be done before the one to be killed has said anything.
  const others = [writer(30), writer(30)].map((other) => once(other, "close"));
  await once(killed.stdout, "data");
  assert.deepEqual(await Promise.all(others), [
    [0, null],
    [0, null],
  ]);
  killed.kill("SIGKILL");
  await once(killed, "close");
  await using register = await openRegister(url, { clock: realClock });
  const { version, value } = await register.read("processes");
  assert.equal(Number(value), version);
  // Its last change may have been made without its having said so.
  assert.ok(version === confirmed + 60 || version === confirmed + 61, `${version} changes, ${confirmed + 60} confirmed`);
});

test("a file that another process keeps locked: nothing was changed, and it ends in time", async () => {
  await using register = await openRegister(url, { clock: realClock, timeoutMs: 100 });
  const other = new DatabaseSync(join(directory, "register.db"));
  other.exec("BEGIN IMMEDIATE");
  await assert.rejects(register.compareAndSet("locked", { expected: 0, value: "x" }), coded("register.unreachable"));
  other.exec("ROLLBACK");
  other.close();
  assert.deepEqual(await register.compareAndSet("locked", { expected: 0, value: "x" }), { kind: "set", version: 1 });
});

test("no such directory, and no such kind of register", async () => {
  await assert.rejects(openRegister("sqlite:/no/such/place/r.db", { clock: realClock }), coded("register.unreachable"));
  await assert.rejects(openRegister("zookeeper://here", { clock: realClock }), coded("config.invalid"));
});

test("a database that is no register, and a register that is closed: an error with a code", async () => {
  const path = join(directory, "other.db");
  const other = new DatabaseSync(path);
  other.exec("CREATE TABLE cells (colour TEXT)");
  other.close();
  await assert.rejects(openRegister(`sqlite:${path}`, { clock: realClock }), coded("register.unreachable"));
  const register = await openRegister(url, { clock: realClock });
  await register[Symbol.asyncDispose]();
  await assert.rejects(register.read("locked"), coded("register.unreachable"));
  await assert.rejects(register.compareAndSet("locked", { expected: 1, value: "y" }), coded("register.unreachable"));
});
