import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";
import { z } from "zod";
import { AnaxError } from "../../base/errors.ts";
import { VolumeDataShape } from "../data/volume-data.ts";
import { DUMPED, type DumpedRow, type DumpedTable } from "../meta/sqlite/dump.ts";

export const DUMP_VERSION = 2;
/** A row has at most one extended attribute of 64 KiB, in base64. */
const LINE_BYTES_MAX = 1024 * 1024;

const count = z.int().nonnegative();

const Head = z.strictObject({
  format: z.literal("anax-volume"),
  version: z.int(),
  at: z.string(),
  volume: z.strictObject({
    uuid: z.uuid(),
    name: z.string(),
    owner: z.string().max(1024),
    readOnly: z.boolean(),
    capacityBytes: count,
    inodesMax: count,
    onDelete: z.enum(["detach-now", "at-purge"]),
    undeleteMs: count,
    /** Since version 2. */
    trashMs: count.default(0),
    createdAtMs: count,
    data: VolumeDataShape,
  }),
});
export type DumpHead = z.infer<typeof Head>;

const Value = z.union([z.int(), z.string(), z.strictObject({ base64: z.base64() })]);
const Row = z.tuple([z.enum(Object.keys(DUMPED) as [DumpedTable, ...DumpedTable[]])], Value); // it has tables
const End = z.strictObject({ rows: count, sha256: z.string() });

/** The lines of a dump, without their ends. */
export function* dumpLines(head: DumpHead, rows: Iterable<readonly [DumpedTable, DumpedRow]>): Iterable<string> {
  const hash = createHash("sha256");
  let written = 0;
  const line = (value: unknown): string => {
    const text = `${JSON.stringify(value)}\n`;
    hash.update(text);
    return text;
  };
  yield line(head);
  for (const [table, row] of rows) {
    written++;
    yield line([table, ...row.map((value) => (value instanceof Uint8Array ? { base64: Buffer.from(value).toString("base64") } : value))]);
  }
  yield `${JSON.stringify({ rows: written, sha256: hash.digest("hex") } satisfies z.infer<typeof End>)}\n`;
}

/** A dump that is read: its head at once, its rows as they are asked for; the last of them only when all of it is there and bit for bit as it was written. */
export async function readDump(
  path: string,
): Promise<{ readonly head: DumpHead; readonly rows: AsyncIterable<readonly [DumpedTable, DumpedRow]> }> {
  const lines = linesOf(path);
  const hash = createHash("sha256");
  const first = await lines.next();
  if (first.done === true) throw damaged(path, "it is empty");
  hash.update(`${first.value}\n`);
  const said = parsed(path, z.looseObject({ format: z.literal("anax-volume"), version: z.int() }), first.value);
  if (said.version > DUMP_VERSION) throw new AnaxError("disk.newer-format", { path, version: said.version, supported: DUMP_VERSION });
  const head = parsed(path, Head, first.value);
  return { head, rows: rowsOf(path, lines, hash) };
}

async function* rowsOf(
  path: string,
  lines: AsyncIterator<string>,
  hash: ReturnType<typeof createHash>,
): AsyncGenerator<readonly [DumpedTable, DumpedRow]> {
  let rows = 0;
  for (;;) {
    const { value: line, done } = await lines.next();
    if (done === true) throw damaged(path, "its end is missing");
    if (line.startsWith("{")) {
      const end = parsed(path, End, line);
      if (end.rows !== rows || end.sha256 !== hash.digest("hex")) throw damaged(path, "it is not as it was written");
      if ((await lines.next()).done !== true) throw damaged(path, "something follows its end");
      return;
    }
    hash.update(`${line}\n`);
    const [table, ...values] = parsed(path, Row, line);
    if (values.length !== DUMPED[table].length) throw damaged(path, `a row of ${table} has ${values.length} values`);
    rows++;
    yield [table, values.map((value) => (typeof value === "object" ? Buffer.from(value.base64, "base64") : value))];
  }
}

async function* linesOf(path: string): AsyncGenerator<string> {
  const text = createReadStream(path).on("error", (error) => unzipped.destroy(error));
  const unzipped = createGunzip();
  let rest = "";
  try {
    for await (const chunk of text.pipe(unzipped).setEncoding("utf8")) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > LINE_BYTES_MAX) throw damaged(path, "a line is too long");
      yield* lines;
    }
  } catch (error) {
    throw error instanceof AnaxError ? error : damaged(path, error instanceof Error ? error.message : String(error));
  } finally {
    text.destroy();
  }
  if (rest !== "") throw damaged(path, "its last line is cut");
}

function parsed<T>(path: string, shape: z.ZodType<T>, line: string): T {
  try {
    return shape.parse(JSON.parse(line));
  } catch (error) {
    throw new AnaxError("disk.corrupt", { path, reason: "this is no dump of a volume, or a damaged one" }, { cause: error });
  }
}

const damaged = (path: string, reason: string): AnaxError => new AnaxError("disk.corrupt", { path, reason });
