import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { silentLog } from "../../../base/log.ts";
import { VirtualClock } from "../../../base/virtual-clock.ts";
import { aDownload } from "../../../../test/kit/daemon.ts";
import { temporaryDirectory } from "../../../../test/kit/temporary-directory.ts";
import { taskIdOfRequest } from "../task-meta.ts";
import { refusalOf } from "./resume-earlier.ts";
import { RunningRecord } from "./running-record.ts";

const A = aDownload("https://origin/a");
const B = aDownload("https://origin/b");
const [a, b] = [taskIdOfRequest(A), taskIdOfRequest(B)];

async function aRecord(scope: AsyncDisposableStack, options: { readonly path?: string; readonly enabled?: boolean } = {}) {
  const path = options.path ?? join(scope.use(await temporaryDirectory()).path, "running.json");
  const clock = new VirtualClock();
  const open = () => new RunningRecord({ path, enabled: options.enabled ?? true, clock, log: silentLog });
  return { path, clock, open, record: open() };
}

const namesIn = async (record: RunningRecord): Promise<string[]> => (await record.earlier()).map(({ url }) => url);

test("a download that lasts is on disk until it is over, a short one never is", async () => {
  await using scope = new AsyncDisposableStack();
  const { clock, open, record } = await aRecord(scope);
  record.note(a, A);
  record.note(b, B);
  record.drop(b);
  await clock.advance(500);
  await record.started(a); // stands behind the write
  assert.deepEqual(await namesIn(open()), [A.url]);
  record.drop(a);
  await clock.advance(500);
  await record[Symbol.asyncDispose]();
  assert.deepEqual(await namesIn(open()), []);
});

test("a stop remembers what still runs, in a file for nobody else", async () => {
  await using scope = new AsyncDisposableStack();
  const { path, record, open } = await aRecord(scope);
  record.note(a, A);
  await record[Symbol.asyncDispose]();
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await namesIn(open()), [A.url]);
});

test("starts without a piece are counted until one comes", async () => {
  await using scope = new AsyncDisposableStack();
  const { record, open } = await aRecord(scope);
  record.note(a, A);
  await record[Symbol.asyncDispose]();
  for (const starts of [1, 2]) {
    const next = open();
    await next.earlier();
    await next.started(a);
    assert.equal(next.find(a)?.starts, starts);
  }
  const last = open();
  await last.earlier();
  last.progressed(a);
  await last[Symbol.asyncDispose]();
  assert.equal((await open().earlier())[0]?.starts, 0);
});

test("what an earlier process left stays while new downloads are noted", async () => {
  await using scope = new AsyncDisposableStack();
  const { record, open } = await aRecord(scope);
  record.note(a, A);
  await record[Symbol.asyncDispose]();
  const next = open();
  next.note(b, B);
  await next[Symbol.asyncDispose]();
  assert.deepEqual(await namesIn(open()), [A.url, B.url]);
});

test("a file that makes no sense is passed over, and one that is not wanted is emptied", async () => {
  await using scope = new AsyncDisposableStack();
  const { path, record, open } = await aRecord(scope);
  for (const text of ["", "{", "[]", '{"version":2,"downloads":[]}', '{"version":1,"downloads":[{"taskId":"x"}]}']) {
    await writeFile(path, text);
    assert.deepEqual(await namesIn(open()), [], text);
  }
  record.note(a, A);
  await record[Symbol.asyncDispose]();
  await (await aRecord(scope, { path, enabled: false })).record[Symbol.asyncDispose]();
  assert.deepEqual(JSON.parse(await readFile(path, "utf8")), { version: 1, downloads: [] });
});

test("a download is given up when nobody waits any more, or when starts brought nothing", () => {
  const rows = [
    [{ untilMs: 10, starts: 0 }, 9, undefined],
    [{ untilMs: 10, starts: 0 }, 10, "too-late"],
    [{ untilMs: 10, starts: 2 }, 9, undefined],
    [{ untilMs: 10, starts: 3 }, 9, "no-progress"],
  ] as const;
  for (const [entry, nowMs, because] of rows) assert.equal(refusalOf(entry, nowMs, { resumeStartsMax: 3 }), because);
});
