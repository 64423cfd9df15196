import { constants, readlinkSync, type Dirent, type Stats } from "node:fs";
import { lstat, open, opendir, realpath, type FileHandle } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Clock } from "../../base/clock.ts";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";
import { formatHttpDate } from "../../base/http-date.ts";
import { isBelow } from "../../disk/below.ts";
import type { SmallFile } from "../../disk/disk-errands.ts";
import type { DiskThread } from "../../disk/disk-thread.ts";
import { resolveRange, type ByteRange } from "../../wire/http/range.ts";
import { BodyChunks, type BodyStream } from "./body.ts";
import type { SourceConfig } from "./config.ts";
import type { Source, SourceBody, SourceEntry, SourceRequest, SourceStat } from "./types.ts";

interface Parts {
  readonly config: SourceConfig;
  readonly clock: Clock;
  readonly onBytes: (count: number) => void;
  /** Where many small files are read. */
  readonly disk: DiskThread | undefined;
}

/** Files of this machine, below the directories that `fileRoots` names; symbolic links may not lead out of them. */
export function createFileSource(parts: Parts): Source {
  const roots = new Roots(parts);
  return {
    schemes: ["file"],
    stat: (request) => stat(roots, request),
    read: async (request) => (await readSmall(parts, roots, request)) ?? (await read(parts, roots, request)),
    list: (request) => list(parts.config, roots, request),
  };
}

async function stat(roots: Roots, request: SourceRequest): Promise<SourceStat> {
  request.signal.throwIfAborted();
  await using opened = await openBelowRoots(roots, pathOf(request.url));
  const { stats } = opened;
  if (stats.isDirectory()) return { contentLength: undefined, acceptsRanges: false, isDirectory: true, responseHeader: {} };
  return { contentLength: stats.size, acceptsRanges: true, isDirectory: false, responseHeader: headersOf(stats, stats.size) };
}

async function read(parts: Parts, roots: Roots, request: SourceRequest & { readonly range?: ByteRange | undefined }): Promise<SourceBody> {
  request.signal.throwIfAborted();
  const path = pathOf(request.url);
  await using scope = new AsyncDisposableStack();
  const { handle, stats } = scope.use(await openBelowRoots(roots, path));
  if (stats.isDirectory()) throw new AnaxError("source.refused", { path, reason: "a directory has no content" });
  const range = rangeWithin(request, stats.size);
  const stream = new FileBody({ handle, range, signal: request.signal, opened: scope.move() });
  const chunks = new BodyChunks(stream, {
    url: request.url,
    clock: parts.clock,
    signal: request.signal,
    idleTimeoutMs: parts.config.idleTimeoutMs,
    expectedBytes: range.length,
    onBytes: parts.onBytes,
  });
  return { contentLength: range.length, totalLength: stats.size, responseHeader: headersOf(stats, range.length), chunks };
}

/** So long a file is read in one go when there are many. */
const SMALL_BYTES = 128 * 1024;

/** Undefined: it is no small file, or there are few, or something is wrong with it, and the long way says what. */
async function readSmall(
  { disk, onBytes }: Parts,
  roots: Roots,
  { url, range, signal }: SourceRequest & { readonly range?: ByteRange | undefined },
): Promise<SourceBody | undefined> {
  signal.throwIfAborted();
  if (disk === undefined || range !== undefined || !HAS_PROC) return undefined;
  const path = pathOf(url);
  const allowed = await roots.get();
  if (!isNamed(allowed, path)) return undefined;
  const reading = disk.tryRun("read", { path, below: allowed.map(({ real }) => real), bytesMax: SMALL_BYTES });
  const file = await reading?.catch(() => undefined);
  if (file === undefined) return undefined;
  const { length } = file.bytes;
  return {
    contentLength: length,
    totalLength: length,
    responseHeader: headersOf({ ...file, size: length }, length),
    chunks: chunkOf(file, onBytes, signal),
  };
}

async function* chunkOf({ bytes }: SmallFile, onBytes: Parts["onBytes"], signal: AbortSignal): AsyncGenerator<Uint8Array> {
  signal.throwIfAborted();
  if (bytes.length === 0) return;
  onBytes(bytes.length);
  yield bytes;
}

async function list(config: SourceConfig, roots: Roots, request: SourceRequest): Promise<readonly SourceEntry[]> {
  const path = pathOf(request.url);
  await using opened = await openBelowRoots(roots, path);
  if (!opened.stats.isDirectory()) throw new AnaxError("source.not-listable", { path, reason: "not a directory" });
  const entries: SourceEntry[] = [];
  // Where the system lets us, through the descriptor: that, and not the path, is what was checked.
  for await (const entry of await opendir(HAS_PROC ? descriptorPath(opened.handle) : path)) {
    request.signal.throwIfAborted();
    const found = await entryOf(roots, path, entry);
    if (found === undefined) continue;
    if (entries.length === config.listEntriesMax) throw new AnaxError("limit.exceeded", { path, listEntriesMax: config.listEntriesMax });
    entries.push(found);
  }
  return entries.toSorted((a, b) => (a.url < b.url ? -1 : 1));
}

/** Undefined for what cannot be read here: pipes, devices, links that lead out or nowhere. */
async function entryOf(roots: Roots, directory: string, entry: Dirent): Promise<SourceEntry | undefined> {
  const path = join(directory, entry.name);
  const stats = await (entry.isSymbolicLink() ? statBelowRoots(roots, path) : lstat(path)).catch(() => undefined);
  if (stats?.isDirectory() === true) return { url: `${pathToFileURL(path).href}/`, contentLength: 0, isDirectory: true };
  return stats?.isFile() === true ? { url: pathToFileURL(path).href, contentLength: stats.size, isDirectory: false } : undefined;
}

interface Opened extends AsyncDisposable {
  readonly handle: FileHandle;
  readonly stats: Stats;
}

interface Root {
  readonly named: string;
  readonly real: string;
}

/** Where a root really is may change, but not from one small file to the next. */
const ROOTS_MS = 1000;

/** The directories that may be read. */
class Roots {
  readonly #config: SourceConfig;
  readonly #clock: Clock;
  #found: { readonly untilMs: number; readonly roots: Promise<readonly Root[]> } | undefined;

  constructor({ config, clock }: Parts) {
    this.#config = config;
    this.#clock = clock;
  }

  /** As they were a moment ago. */
  get(): Promise<readonly Root[]> {
    const nowMs = this.#clock.nowMs();
    if (this.#found === undefined || this.#found.untilMs <= nowMs) this.#found = { untilMs: nowMs + ROOTS_MS, roots: this.#find() };
    return this.#found.roots;
  }

  /** The error of a path that lies below none of them. */
  denied(path: string): AnaxError {
    const hint =
      this.#config.fileRoots.length === 0
        ? "file:// is off; name the directories that may be read in p2p.source.fileRoots"
        : "the path is not below any directory of p2p.source.fileRoots";
    return new AnaxError("source.denied", { path, hint });
  }

  #find(): Promise<readonly Root[]> {
    return Promise.all(
      this.#config.fileRoots.map(async (root) => ({ named: resolve(root), real: await realpath(root).catch(() => root) })),
    );
  }
}

const isNamed = (roots: readonly Root[], path: string): boolean =>
  roots.some(({ named, real }) => isBelow(path, named) || isBelow(path, real));

/**
 * Opens a file or directory and makes sure that what was opened lies below a root. Paths outside are refused before the disk is asked,
 * so that nobody learns what exists there; afterwards the open descriptor is judged, since a link may change between check and open.
 */
async function openBelowRoots(allowed: Roots, path: string): Promise<Opened> {
  const roots = await allowed.get();
  if (!isNamed(roots, path)) throw allowed.denied(path);
  try {
    await using scope = new AsyncDisposableStack();
    const handle = scope.use(await open(await checkedPath(allowed, path, roots), constants.O_RDONLY | constants.O_NONBLOCK)); // a pipe must not hang us
    const stats = await handle.stat();
    const actual = HAS_PROC ? readlinkSync(descriptorPath(handle)) : await realpath(path); // the kernel has it in memory
    if (!roots.some(({ real }) => isBelow(actual, real))) throw allowed.denied(path);
    if (!stats.isFile() && !stats.isDirectory()) throw new AnaxError("source.refused", { path, reason: "neither a file nor a directory" });
    const owned = scope.move();
    return { handle, stats, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  } catch (thrown) {
    throw fileError(path, thrown);
  }
}

/** Devices and pipes outside of the roots must not even be opened, since that alone can have effects. */
async function checkedPath(allowed: Roots, path: string, roots: readonly Root[]): Promise<string> {
  const actual = await realpath(path);
  if (!roots.some(({ real }) => isBelow(actual, real))) throw allowed.denied(path);
  return actual;
}

async function statBelowRoots(roots: Roots, path: string): Promise<Stats> {
  await using opened = await openBelowRoots(roots, path);
  return opened.stats;
}

const HAS_PROC = process.platform === "linux";

const descriptorPath = (handle: FileHandle): string => `/proc/self/fd/${handle.fd}`;

function pathOf(text: string): string {
  try {
    if (!/^file:\/\/(localhost)?\//i.test(text)) throw new TypeError(text);
    return resolve(fileURLToPath(text));
  } catch (thrown) {
    throw new AnaxError("input.invalid", { reason: "file URLs look like file:///path" }, { cause: thrown });
  }
}

const CHUNK_BYTES = 512 * 1024;

/** A range of an open file, read as it is asked for. A stream of Node would do the same, for more work than reading a small file is. */
class FileBody implements BodyStream {
  readonly #handle: FileHandle;
  readonly #end: number;
  readonly #opened = new AsyncDisposableStack();
  #at: number;
  #reading: Promise<unknown> = Promise.resolve();
  #closed = false;
  #error: Error | undefined;

  constructor(options: {
    readonly handle: FileHandle;
    readonly range: ByteRange;
    readonly signal: AbortSignal;
    readonly opened: AsyncDisposable;
  }) {
    const { handle, range, signal, opened } = options;
    this.#handle = handle;
    this.#at = range.start;
    this.#end = range.start + range.length;
    this.#opened.use(opened);
    const onAbort = (): void => this.destroy(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#opened.defer(() => signal.removeEventListener("abort", onAbort));
    if (range.length === 0) this.#close(); // it may be that nobody reads it
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return { next: () => this.#next() };
  }

  on(): this {
    return this; // what goes wrong is thrown to who reads
  }

  destroy(error?: Error): void {
    this.#error ??= error;
    this.#close();
  }

  async #next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const bytes = Math.min(CHUNK_BYTES, this.#end - this.#at);
    if (bytes === 0) this.#close();
    this.#throwIfDestroyed();
    if (this.#closed) return { done: true, value: undefined };
    const reading = this.#handle.read(Buffer.allocUnsafeSlow(bytes), 0, bytes, this.#at);
    this.#reading = reading.catch(() => undefined); // for `#close`; the error goes to who reads
    const { bytesRead, buffer } = await reading;
    this.#throwIfDestroyed();
    this.#at = bytesRead === 0 ? this.#end : this.#at + bytesRead; // cut while it is read: the caller counts
    return bytesRead === 0 ? this.#next() : { done: false, value: buffer.subarray(0, bytesRead) };
  }

  #throwIfDestroyed(): void {
    if (this.#error !== undefined) throw this.#error;
  }

  /** Not under a read: its number may be another file's by the time it gets to the disk. */
  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    void this.#reading.then(() => this.#opened.disposeAsync()).catch(() => undefined); // it was only read
  }
}

function rangeWithin(request: { readonly url: string; readonly range?: ByteRange | undefined }, totalBytes: number): ByteRange {
  const { range } = request;
  if (range === undefined) return { start: 0, length: totalBytes };
  const resolved = resolveRange({ first: range.start, last: range.start + range.length - 1 }, totalBytes);
  if (resolved === "unsatisfiable" || resolved === null) {
    throw new AnaxError("task.range-unsatisfiable", { path: pathOf(request.url), start: range.start, totalBytes });
  }
  return resolved;
}

/** What an HTTP server would say of the file, so that a changed file is noticed in the same way. */
function headersOf(stats: Pick<Stats, "size" | "mtimeMs">, contentLength: number): Readonly<Record<string, string>> {
  const etag = `"${stats.size.toString(16)}-${Math.trunc(stats.mtimeMs).toString(16)}"`;
  return { "content-length": String(contentLength), etag, "last-modified": formatHttpDate(stats.mtimeMs) };
}

function fileError(path: string, thrown: unknown): unknown {
  if (thrown instanceof AnaxError) return thrown;
  const systemCode = systemCodeOf(thrown);
  const details = { path, systemCode };
  if (systemCode === "ENOENT" || systemCode === "ENOTDIR") return new AnaxError("source.not-found", details, { cause: thrown });
  if (systemCode === "EACCES" || systemCode === "EPERM") return new AnaxError("source.forbidden", details, { cause: thrown });
  if (systemCode === "ENXIO" || systemCode === "ELOOP") return new AnaxError("source.refused", details, { cause: thrown });
  return systemCode === undefined ? thrown : new AnaxError("disk.io", details, { cause: thrown });
}
