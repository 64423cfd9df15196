import { closeSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { aVolumePlace, unmountable } from "../../test/kit/mounted-volume.ts";
import { median } from "../kit/process.ts";

// What a second mount of a volume costs the first (SQLite metadata, a local directory): the same calls alone and with the other, in one run, and what only
// two can do to each other. Microseconds for each call, of one program that asks one thing after the other.

const { values } = parseArgs({ options: { json: { type: "boolean" }, count: { type: "string", default: "2000" } } });
const count = Number(values.count);
const reason = unmountable();
if (reason !== undefined) throw new Error(reason);

await using scope = new AsyncDisposableStack();
const place = scope.use(await aVolumePlace());
const one = scope.use(await place.mount()).dir;
const alone = loads(one, "alone");
const two = `${place.dir}2`;
mkdirSync(two);
scope.use(await place.mount([], two));
const shared = loads(one, "shared");
const rows = Object.entries(alone).map(([call, us]) => ({ call, alone: us, shared: shared[call]!, ratio: rounded(us / shared[call]!) })); // of the same loads

// In each round the other has the file in its cache, or wants what is not committed.
const [taken, handed] = [[] as number[], [] as number[]];
for (let round = 0; round < Math.min(count, 200); round++) {
  writeFileSync(join(one, "f"), `round ${round}`);
  readFileSync(join(two, "f"));
  const fd = openSync(join(one, "f"), "r+");
  taken.push(timed(() => writeSync(fd, "x")));
  handed.push(timed(() => statSync(join(two, "f"))));
  closeSync(fd);
}
const between = {
  "first write to a file that the other has read": rounded(median(taken)),
  "stat of a file that the other writes to": rounded(median(handed)),
};

if (values.json === true) console.log(JSON.stringify({ count, rows, between }));
else {
  console.table(rows);
  console.table(between);
}

function loads(dir: string, name: string): Readonly<Record<string, number>> {
  mkdirSync(join(dir, name));
  const path = (at: number): string => join(dir, name, `f${at}`);
  const create = each((at) => closeSync(openSync(path(at), "w")));
  const write = each((at) => writeFileSync(path(at), "content"));
  const stat = each((at) => void statSync(path(at)));
  const read = each((at) => void readFileSync(path(at)));
  const fd = openSync(path(0), "r+");
  const block = Buffer.alloc(4096, 1);
  const overwrite = each((at) => void writeSync(fd, block, 0, 4096, at * 4096));
  closeSync(fd);
  return { create, "write and close 7 bytes": write, stat, "open, read and close": read, "write 4 KiB": overwrite };
}

function each(work: (at: number) => void): number {
  const us = timed(() => {
    for (let at = 0; at < count; at++) work(at);
  });
  return rounded(us / count);
}

function timed(work: () => void): number {
  const startMs = performance.now();
  work();
  return (performance.now() - startMs) * 1000;
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}
