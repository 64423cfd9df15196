import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import { z } from "zod";
import { AnaxError } from "../../../base/errors.ts";
import { replaceFile } from "../../../disk/atomic-replace.ts";
import { closeDescriptor, openDescriptor, resize, syncData, syncDirectory, writeFully } from "../../../disk/descriptor.ts";
import { diskErrorOf } from "../../../disk/disk-error.ts";
import { SLOT_COUNT } from "../../keyspace/key-slot.ts";
import type { SourceRecord } from "./source.ts";
import type { TargetRecord } from "./target.ts";

const DIRECTORY = "slot-migrations";
const LOG = "log";
/** Eight hexadecimal digits of CRC-32, and a space. */
const CHECKSUM_CHARS = 9;
/** Then it is written anew. */
const LOG_BYTES_MAX = 4 * 1024 * 1024;
/** Of one job, where the disk does not answer. */
const WAITING_MAX = 16;
/** Of jobs: it becomes the name of a file. */
export const JOB = /^[0-9a-f]{40}$/;
export const STAGED = /^[0-9a-f]{40}\.\d+\.staged$/;

const slot = z
  .int()
  .min(0)
  .max(SLOT_COUNT - 1);
const attempt = z.int().min(0);
const range = z.strictObject({ start: slot, end: slot });
const expected = z.array(z.strictObject({ start: slot, end: slot, epoch: z.int().min(0) }));
const move = z.strictObject({ job: z.string().regex(JOB), ranges: z.array(range), from: z.string(), to: z.string() });
const SourceForm = z.strictObject({
  role: z.literal("source"),
  record: z.strictObject({ move, attempt, phase: z.enum(["open", "fenced", "finished", "cancelled", "failed"]), expected }),
  wallMs: z.number(),
});
const TargetForm = z.strictObject({
  role: z.literal("target"),
  record: z.strictObject({ move, attempt, phase: z.enum(["staging", "confirmed", "finished", "dropped"]), expected }),
  wallMs: z.number(),
  /** Of a file of staged slots: how many of its bytes count. */
  stagedBytes: z.int().min(0),
  /** In which order what was staged was put in place; 0: it was not. */
  promotion: z.int().min(0),
});
const RecordForm = z.discriminatedUnion("role", [SourceForm, TargetForm]);

export type StoredSource = { readonly role: "source"; readonly record: SourceRecord; readonly wallMs: number };
export type StoredTarget = {
  readonly role: "target";
  readonly record: TargetRecord;
  readonly wallMs: number;
  readonly stagedBytes: number;
  readonly promotion: number;
};
export type StoredRecord = StoredSource | StoredTarget;

/** What jobs have to know after a crash: a log, of which the last record of each side of a job counts; and what attempts have staged. Without a directory that lasts nothing is kept. */
export class Records implements AsyncDisposable {
  readonly #directory: string | undefined;
  readonly #latest = new Map<string, StoredRecord>();
  /** The last write of each job, after all before it, and how many wait. */
  readonly #writes = new Map<string, { readonly settled: Promise<void>; readonly count: number }>();
  /** Of the log; -1: it is not open, or another has taken its place. */
  #fd = -1;
  /** Of the log: up to here all is on disk. */
  #bytes = 0;
  /** A write has failed, and some of it may lie behind them: what comes next may be shorter, and its rest would be read as newer than that. */
  #spoilt = false;
  #queue: { readonly line: Buffer; readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  #running: Promise<void> | undefined;

  private constructor(dir: string | undefined) {
    this.#directory = dir === undefined ? undefined : stagedDirectory(dir);
  }

  /** Throws `disk.full`, `disk.io`, `disk.corrupt`. */
  static async open(dir: string | undefined): Promise<Records> {
    const records = new Records(dir);
    if (records.#directory === undefined) return records;
    try {
      mkdirSync(records.#directory, { recursive: true });
      await syncDirectory(dirname(records.#directory));
    } catch (error) {
      throw diskErrorOf(error, { path: records.#directory });
    }
    records.#read();
    await records.#rewrite();
    return records;
  }

  get #path(): string {
    return join(this.#directory!, LOG); // there is one wherever something is written
  }

  /** A line that is damaged ends it, as the last one may have been cut off; one in the middle does not. */
  #read(): void {
    const path = this.#path;
    if (!existsSync(path)) return;
    let damagedAt: number | undefined;
    for (const [number, line] of readFileSync(path, "utf8").split("\n").entries()) {
      const text = line.slice(CHECKSUM_CHARS);
      if (crc32(text).toString(16).padStart(8, "0") !== line.slice(0, CHECKSUM_CHARS - 1)) {
        damagedAt ??= line === "" ? undefined : number;
        continue;
      }
      if (damagedAt !== undefined) throw new AnaxError("disk.corrupt", { path, line: damagedAt + 1, reason: "its checksum is wrong" });
      this.#keep(parsed(text, path));
    }
  }

  #keep(stored: StoredRecord): void {
    this.#latest.set(`${stored.role}/${stored.record.move.job}`, stored);
  }

  /** The log with what counts, and no more. */
  async #rewrite(): Promise<void> {
    const content = Buffer.concat([...this.#latest.values()].map(lineOf));
    await replaceFile(this.#path, content);
    const before = this.#fd;
    this.#fd = -1; // what is written there from now on nobody would read
    if (before >= 0) await closeDescriptor(before);
    this.#fd = await openDescriptor(this.#path, "r+");
    this.#bytes = content.length;
    this.#spoilt = false;
  }

  /** Undefined: nothing is kept. */
  stagedPath(job: string, number: number): string | undefined {
    return this.#directory === undefined ? undefined : join(this.#directory, stagedName(job, number));
  }

  get all(): readonly StoredRecord[] {
    return [...this.#latest.values()];
  }

  /** By what is on disk, a job's staged slots may be the node's own: their file is needed. */
  confirms(job: string): boolean {
    const stored = this.#latest.get(`target/${job}`);
    return stored?.role === "target" && stored.record.phase === "confirmed";
  }

  /** Replaces a record by what `make` gives, once what was begun before for the same job has ended. Throws `disk.full`, `disk.io`, `limit.exceeded`; what was there stays then. */
  put(job: string, make: () => Promise<StoredRecord>): Promise<void> {
    const last = this.#writes.get(job);
    if ((last?.count ?? 0) >= WAITING_MAX)
      return Promise.reject(new AnaxError("limit.exceeded", { what: "records that wait for the disk", max: WAITING_MAX }));
    const write = (last?.settled ?? Promise.resolve()).then(async () => this.#append(await make()));
    const settled = write.then(noop, noop).then(() => this.#settled(job));
    this.#writes.set(job, { settled, count: (last?.count ?? 0) + 1 });
    return write;
  }

  #settled(job: string): void {
    const now = this.#writes.get(job);
    if (now === undefined || now.count === 1) this.#writes.delete(job);
    else this.#writes.set(job, { ...now, count: now.count - 1 });
  }

  /** It is not looked for any more, and gone when the log is written anew. */
  forget(job: string): void {
    this.#latest.delete(`source/${job}`);
    this.#latest.delete(`target/${job}`);
  }

  async #append(stored: StoredRecord): Promise<void> {
    if (this.#directory === undefined) return;
    await new Promise<void>((resolve, reject) => {
      this.#queue.push({ line: lineOf(stored), resolve, reject });
      this.#running ??= this.#run();
    });
    this.#keep(stored);
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0);
      try {
        if (this.#fd < 0 || this.#bytes > LOG_BYTES_MAX) await this.#rewrite();
        if (this.#spoilt) await this.#cutOff();
        const bytes = Buffer.concat(batch.map(({ line }) => line));
        this.#spoilt = true;
        await writeFully(this.#fd, bytes, this.#bytes);
        await syncData(this.#fd);
        this.#bytes += bytes.length;
        this.#spoilt = false;
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(diskErrorOf(error, { path: this.#path }));
      }
    }
    this.#running = undefined;
  }

  async #cutOff(): Promise<void> {
    await resize(this.#fd, this.#bytes);
    await syncData(this.#fd);
  }

  /** Files of staged slots that no record names. */
  async removeStagedBut(names: ReadonlySet<string>): Promise<void> {
    if (this.#directory === undefined) return;
    for (const name of readdirSync(this.#directory))
      if (STAGED.test(name) && !names.has(name)) await rm(join(this.#directory, name), { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#writes.values()].map(({ settled }) => settled));
    await this.#running;
    if (this.#fd >= 0) await closeDescriptor(this.#fd);
    this.#fd = -1;
  }
}

function parsed(text: string, path: string): StoredRecord {
  try {
    return RecordForm.parse(JSON.parse(text));
  } catch (error) {
    throw new AnaxError("disk.corrupt", { path, reason: (error as Error).message.slice(0, 300) }, { cause: error });
  }
}

function lineOf(stored: StoredRecord): Buffer {
  const text = JSON.stringify(stored);
  return Buffer.from(`${crc32(text).toString(16).padStart(8, "0")} ${text}\n`);
}

export const stagedName = (job: string, number: number): string => `${job}.${number}.staged`;

/** Where files of staged slots lie, which a journal names. */
export const stagedDirectory = (dir: string): string => join(dir, DIRECTORY);

const noop = (): void => {};
