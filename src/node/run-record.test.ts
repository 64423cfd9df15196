import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../../test/kit/temporary-directory.ts";
import { silentLog, type Log, type LogFields } from "../base/log.ts";
import { aKernel, version2 } from "./kernel-fixture.ts";
import { endingOf, openRunRecord, readRunRecord } from "./run-record.ts";

interface Warning {
  readonly event: string;
  readonly fields: LogFields | undefined;
}

/** A log whose warnings are kept. */
function warnings(): { readonly log: Log; readonly seen: Warning[] } {
  const seen: Warning[] = [];
  return { seen, log: { ...silentLog, warn: (event, fields) => void seen.push({ event, fields }) } };
}

interface Change {
  readonly files?: Record<string, string>;
  readonly kernelLog?: string;
  readonly isClean?: boolean;
}

/** How the second start judges the first run, after which this changed. */
async function judged({ files = {}, kernelLog = "", isClean = false }: Change): Promise<readonly unknown[]> {
  await using dir = await temporaryDirectory();
  const root = await aKernel(dir.path, version2(4));
  const dataDir = join(dir.path, "data");
  await mkdir(dataDir);
  const place = { root, kernelLog: join(dir.path, "kmsg") };
  const first = await openRunRecord(dataDir, silentLog, place);
  if (isClean) await first[Symbol.asyncDispose]();
  await aKernel(root, files);
  await writeFile(place.kernelLog, kernelLog);
  const { log, seen } = warnings();
  await openRunRecord(dataDir, log, place);
  const { previous } = readRunRecord(dataDir)!; // it was just written
  assert.equal(previous?.pid, process.pid);
  return [previous?.ending.how, ...seen.map(({ event, fields }) => [event, fields?.["ended"]])];
}

test("the next start knows how the last run ended, and warns unless it ended well", async () => {
  assert.deepEqual(await judged({ isClean: true }), ["clean"]);
  assert.deepEqual(await judged({}), ["unclean", ["node.last-run", "unclean"]]);
  assert.deepEqual(await judged({ files: version2(5) }), ["out-of-memory", ["node.last-run", "out-of-memory"]]);
  assert.deepEqual(await judged({ files: version2(0) }), ["unclean", ["node.last-run", "unclean"]]); // the group was made anew
  const bootId = { "proc/sys/kernel/random/boot_id": "boot-2\n" };
  assert.deepEqual(await judged({ files: { ...version2(9), ...bootId } }), ["machine-restarted", ["node.last-run", "machine-restarted"]]);
});

test("the kernel's log convicts only for this process, in this run", async () => {
  const rows = [
    { pid: process.pid, atSeconds: 2000, expected: "out-of-memory" },
    { pid: process.pid, atSeconds: 10, expected: "unclean" }, // another's of the same number, earlier
    { pid: process.pid + 1, atSeconds: 2000, expected: "unclean" },
  ];
  for (const { pid, atSeconds, expected } of rows) {
    const [how] = await judged({ kernelLog: `3,1,${atSeconds * 1e6},-;Out of memory: Killed process ${pid} (node) x\n` });
    assert.equal(how, expected);
  }
});

test("a record that makes no sense is none, and is replaced", async () => {
  await using dir = await temporaryDirectory();
  for (const text of ["", "{", "[]", '{"pid":-1}', "null", `{"pid":1,"startedAt":"${"x".repeat(400_000)}"}`, "\0\0\0"]) {
    await writeFile(join(dir.path, "run.json"), text);
    assert.equal(readRunRecord(dir.path), undefined, text.slice(0, 40));
    const { log, seen } = warnings();
    await using _record = await openRunRecord(dir.path, log);
    assert.deepEqual([readRunRecord(dir.path)?.pid, seen.length], [process.pid, 0]);
  }
});

test("a data directory that takes no record is told of, and stops nobody", async () => {
  const { log, seen } = warnings();
  await using _record = await openRunRecord("/proc", log);
  assert.deepEqual(
    seen.map(({ event }) => event),
    ["node.run-not-recorded"],
  );
});

test("of a run that is over the ending can be told without starting another", async () => {
  await using dir = await temporaryDirectory();
  await openRunRecord(dir.path, silentLog);
  assert.equal(endingOf(readRunRecord(dir.path)!).how, "unclean"); // it was just written
});
