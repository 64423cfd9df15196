import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { systemCodeOf } from "../../../base/errors.ts";

/** What is counted, each by one thread only. */
const NAMES = ["readBytes", "peerBytes", "storeBytes", "hedges", "hedgesWon", "peerFailures", "cacheHits", "cacheMisses"] as const;

type Counts = Readonly<Record<(typeof NAMES)[number], number>>;
export type ReadValues = Counts;

export const NO_READS = Object.fromEntries(NAMES.map((name) => [name, 0])) as unknown as ReadValues; // one for each

/** What processes that followed each other have counted. */
export const summedReads = (before: ReadValues, after: ReadValues): ReadValues =>
  Object.fromEntries(NAMES.map((name) => [name, before[name] + after[name]])) as unknown as ReadValues; // as above

/** Told by a process that ended so long ago: of no interest any more. */
const KEPT_MS = 30 * 24 * 3_600_000;

const count = z.number().nonnegative();
const Told = z.strictObject({
  pid: z.int().positive(),
  readBytes: count,
  peerBytes: count,
  storeBytes: count,
  hedges: count,
  hedgesWon: count,
  peerFailures: count,
  /** Earlier versions counted none. */
  cacheHits: count.default(0),
  cacheMisses: count.default(0),
  /** Why peers are not asked now. */
  resting: z.string().optional(),
});

/** Where the bytes that were read of a volume came from, as one process counts them in whichever of its threads. */
export class ReadCounts {
  readonly shared: SharedArrayBuffer;
  readonly #cells: Float64Array;

  constructor(shared = new SharedArrayBuffer(NAMES.length * Float64Array.BYTES_PER_ELEMENT)) {
    this.shared = shared;
    this.#cells = new Float64Array(shared);
  }

  add(name: keyof Counts, more: number): void {
    this.#cells[NAMES.indexOf(name)]! += more; // there are as many
  }

  get values(): Counts {
    return Object.fromEntries(NAMES.map((name, at) => [name, this.#cells[at]])) as unknown as Counts; // one for each
  }

  /** Tells them to whoever asks for statistics, in a file of this process's. */
  async write(path: string, resting?: string): Promise<void> {
    const text = JSON.stringify({ pid: process.pid, ...this.values, resting } satisfies z.infer<typeof Told>);
    await mkdir(dirname(path), { recursive: true, mode: 0o750 });
    await writeFile(`${path}.part`, text, { mode: 0o640 });
    await rename(`${path}.part`, path);
  }
}

export interface ReadSums extends Counts {
  /** Why processes that live do not ask peers now. */
  readonly resting: readonly string[];
}

/** Of all processes of this machine that read the volume lately; the files of others go. What makes no sense is passed over. */
export async function sumReads(dir: string, wallMs: number): Promise<ReadSums> {
  const sums: Record<keyof Counts, number> = { ...NO_READS };
  const resting: string[] = [];
  for (const name of await namesIn(dir)) {
    const told = await toldIn(join(dir, name), wallMs);
    if (told === undefined) continue;
    for (const each of NAMES) sums[each] += told[each];
    if (told.resting !== undefined && isAlive(told.pid)) resting.push(told.resting);
  }
  return { ...sums, resting };
}

async function namesIn(dir: string): Promise<readonly string[]> {
  try {
    return (await readdir(dir)).filter((name) => name.endsWith(".json"));
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return []; // nothing was ever read
    throw error;
  }
}

async function toldIn(path: string, wallMs: number): Promise<z.infer<typeof Told> | undefined> {
  try {
    if (wallMs - (await stat(path)).mtimeMs > KEPT_MS) {
      await rm(path, { force: true });
      return undefined;
    }
    return Told.parse(JSON.parse(await readFile(path, "utf8")));
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return systemCodeOf(error) === "EPERM";
  }
}
