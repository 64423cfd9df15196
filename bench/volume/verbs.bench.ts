import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { parseArgs } from "node:util";
import { realClock } from "../../src/base/clock.ts";
import { LocalBlobs } from "../../src/volume/data/local-blobs.ts";
import { LocalFiles } from "../../src/volume/data/local-files.ts";
import { formatSqlite } from "../../src/volume/meta/sqlite/format.ts";
import { openSqliteVerbs } from "../../src/volume/meta/sqlite/sqlite-verbs.ts";
import { ROOT_INO } from "../../src/volume/meta/verbs.ts";

// What the verbs cost within one thread, without a kernel before them: CPU and wall microseconds for each call. As a peer in the same run:
// one INSERT of a row with 15 columns by node:sqlite, in a transaction. `settle` after each call is what a mount with one caller does.

const { values } = parseArgs({
  options: { json: { type: "boolean" }, count: { type: "string", default: "20000" }, dir: { type: "string" } },
});
const count = Number(values.count);
const dir = mkdtempSync(join(values.dir ?? tmpdir(), "anax-verbs-bench-"));
const results: {
  readonly name: string;
  readonly cpuUs: number;
  readonly wallUs: number;
  readonly perSecond: number;
  readonly ofInsert: number;
}[] = [];
let insertUs = 0;

try {
  benchInsert();
  benchVerbs();
} finally {
  rmSync(dir, { recursive: true });
}
if (values.json === true) console.log(JSON.stringify({ count, results }));
else console.table(Object.fromEntries(results.map(({ name, ...rest }) => [name, rest])));

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

function measured(name: string, calls: number, work: () => void): void {
  const cpu = process.cpuUsage();
  const started = performance.now();
  work();
  const wallUs = ((performance.now() - started) * 1000) / calls;
  const { user, system } = process.cpuUsage(cpu);
  const cpuUs = (user + system) / calls;
  if (insertUs === 0) insertUs = cpuUs;
  results.push({
    name,
    cpuUs: rounded(cpuUs),
    wallUs: rounded(wallUs),
    perSecond: Math.round(1e6 / wallUs),
    ofInsert: rounded(cpuUs / insertUs),
  });
}

function benchInsert(): void {
  using database = new DatabaseSync(join(dir, "insert.sqlite"));
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  const columns = Array.from({ length: 15 }, (_, index) => `c${index}`);
  database.exec(
    `CREATE TABLE rows (${columns.map((column, index) => `${column} INTEGER${index === 0 ? " PRIMARY KEY" : ""}`).join(", ")}) STRICT`,
  );
  const insert = database.prepare(`INSERT INTO rows VALUES (${columns.map(() => "?").join(", ")})`);
  measured("INSERT of 15 columns", count, () => {
    database.exec("BEGIN");
    for (let index = 0; index < count; index++) insert.run(index, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14);
    database.exec("COMMIT");
  });
}

function benchVerbs(): void {
  const path = join(dir, "meta.sqlite");
  formatSqlite(path, { uuid: "bench", capacityBytes: 0, inodesMax: 0, readOnly: false, uid: 0, gid: 0, permissions: 0o755 }, realClock);
  const verbs = openSqliteVerbs({ path, sessionId: 1, clock: realClock });
  const files = new LocalFiles({
    verbs,
    blobs: new LocalBlobs(join(dir, "blobs")),
    clock: realClock,
    bufferBytesMax: 64 << 20,
    onDamage: () => undefined,
  });
  const file = { kind: "file", permissions: 0o644, uid: 0, gid: 0 } as const;
  const inos: number[] = [];
  const create = (name: string): number => {
    const made = verbs.create(ROOT_INO, name, file);
    if (typeof made === "number") throw new Error(`errno ${made}`);
    return made.ino;
  };
  measured("create, in groups", count, () => {
    for (let index = 0; index < count; index++) inos.push(create(`file-${index}`));
    verbs.settle(false);
  });
  measured("create, settled each", count / 4, () => {
    for (let index = 0; index < count / 4; index++) {
      create(`single-${index}`);
      verbs.settle(false);
    }
  });
  measured("lookup, in a turn", count, () => {
    for (let index = 0; index < count; index++) verbs.lookup(ROOT_INO, `file-${index}`);
  });
  measured("lookup, settled each", count, () => {
    for (let index = 0; index < count; index++) {
      verbs.lookup(ROOT_INO, `file-${index}`);
      verbs.settle(false);
    }
  });
  measured("lookup of nothing", count, () => {
    for (let index = 0; index < count; index++) verbs.lookup(ROOT_INO, `none-${index}`);
  });
  measured("getattr", count, () => {
    for (const ino of inos) verbs.getattr(ino);
  });
  measured("setattr", count, () => {
    for (const ino of inos) verbs.setattr(ino, { permissions: 0o600 });
    verbs.settle(false);
  });
  measured("readdir with attributes, per entry", count, () => {
    for (let cookie = 0; ;) {
      const entries = verbs.readdir(ROOT_INO, cookie, 128, true);
      if (typeof entries === "number" || entries.length === 0) break;
      cookie = entries.at(-1)!.cookie; // not empty
    }
  });
  const small = Buffer.alloc(4096, 7);
  measured("create, write 4 KiB, close: settled each", count / 4, () => {
    for (let index = 0; index < count / 4; index++) {
      const ino = create(`small-${index}`);
      files.open(ino);
      files.write(ino, 0, small);
      files.close(ino);
      verbs.settle(false);
    }
  });
  const big = create("big");
  const part = Buffer.alloc(1 << 20, 9);
  const parts = 256;
  measured("write 1 MiB", parts, () => {
    for (let index = 0; index < parts; index++) files.write(big, index << 20, part);
    files.flush(big);
  });
  measured("read 1 MiB", parts, () => {
    for (let index = 0; index < parts; index++) files.read(big, index << 20, part);
  });
  measured("read 4 KiB at random places", count, () => {
    for (let index = 0; index < count; index++) files.read(big, ((index * 7919) % (parts * 256)) * 4096, small);
  });
  measured("unlink, in groups", count, () => {
    for (let index = 0; index < count; index++) verbs.unlink(ROOT_INO, `file-${index}`);
    verbs.settle(false);
  });
  const durable = 50;
  measured("write 4 KiB and fsync", durable, () => {
    for (let index = 0; index < durable; index++) {
      const ino = create(`durable-${index}`);
      files.write(ino, 0, small);
      files.fsync(ino);
    }
  });
}
