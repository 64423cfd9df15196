import { AnaxError, errorOf, invariant } from "../../base/errors.ts";
import { backoffMs, mayRepeat } from "../../base/retry.ts";
import type { TaskMeta } from "../model/types.ts";
import type { StoredTask } from "../pieces/types.ts";
import type { SourceBody } from "../source/types.ts";
import { BLOCK_BYTES } from "./blocks.ts";
import { linkedSignal } from "./linked-signal.ts";
import { rateClassOf } from "./rates/types.ts";
import type { SourceJob } from "./source-job.ts";
import { FIRST_LANE } from "./source-lanes.ts";
import { isNeeded, isWhole, nextRun, wholeOf, type SourceRun } from "./source-plan.ts";
import { spoolSource } from "./source-spool.ts";
import { WideReading } from "./source-wide.ts";
import { writePieces, type SourcePace } from "./source-write.ts";
import { changeOf, metaOf } from "./task-meta.ts";
import { Watchdog } from "./transfer/watchdog.ts";
import type { DownloadRequest } from "./types.ts";

const BACKOFF_MAX_MS = 10_000;
/** Content of so many bytes is read whole before it goes to the disk. */
const SMALL_BYTES = 128 * 1024;

/**
 * Reads from the source what is missing, over one connection or those that make it quicker, and writes it piece by piece. A broken body is
 * resumed behind the last finished piece. Throws the source's error, `disk.full` and the like. The task's pieces are all held at the end, not
 * yet verified.
 */
export async function readSource(job: SourceJob): Promise<StoredTask> {
  const state: ReadState = { stored: job.held, opened: false, useRanges: true, received: false, wide: undefined };
  try {
    return await readAll(job, state);
  } finally {
    await narrowed(state);
  }
}

/** Over one connection from now on, which reads whatever is missing. */
async function narrowed(state: ReadState): Promise<void> {
  await state.wide?.[Symbol.asyncDispose]();
  state.wide = undefined;
}

async function readAll(job: SourceJob, state: ReadState): Promise<StoredTask> {
  for (let fruitless = 0; ;) {
    const before = state.stored?.finished.count ?? 0;
    try {
      const complete = await readOnce(job, state);
      if (complete !== undefined) return complete;
    } catch (thrown) {
      const error = errorOf(thrown);
      if (error.code === "source.range-ignored" && state.useRanges && !job.share.isPart) {
        state.useRanges = false;
        await narrowed(state);
        continue;
      }
      fruitless = (state.stored?.finished.count ?? 0) > before ? 1 : fruitless + 1;
      // A request that failed before any byte was repeated by the source room already.
      const again = state.received && mayRepeat(error) && fruitless < job.config.sourceAttemptsMax && !job.signal.aborted;
      if (!again) throw error;
      job.onRetry(error);
      const pause = { attemptsMax: job.config.sourceAttemptsMax, firstMs: job.config.sourceBackoffMs, maxMs: BACKOFF_MAX_MS };
      await job.clock.sleep(backoffMs(fruitless, pause, job.random), job.signal);
    }
  }
}

/** Made once: a fresh error for each of many small files is a cost of its own. */
const NOT_NEEDED = new AnaxError("download.cancelled", { reason: "the body is not needed any more" });

interface ReadState {
  stored: StoredTask | undefined;
  /** Space for it is reserved, and it knows the digest that is expected now. */
  opened: boolean;
  /** False once the source ignored a range. */
  useRanges: boolean;
  /** A body has begun at least once. */
  received: boolean;
  /** The other connections, once the first has begun. */
  wide: WideReading | undefined;
}

/** One request. Returns the task when it is complete, undefined when another request is needed. */
async function readOnce(job: SourceJob, state: ReadState): Promise<StoredTask | undefined> {
  using scope = linkedSignal(job.signal);
  try {
    // What an earlier process left is known only once it is verified; to open it waits for that.
    if (state.stored?.state === "verifying") {
      state.stored = await job.store.open(metaOf(job.taskId, job.request, state.stored.meta), job.signal);
      state.opened = true;
    }
    const run = state.stored === undefined ? undefined : await nextRunOf(job, state.stored, state.wide);
    if (state.stored !== undefined && run === undefined) return ready(job, state.stored);
    const ranged = state.useRanges && state.stored !== undefined && run !== undefined && !isWhole(state.stored.meta, run);
    const body = await job.sources.read({ ...sourceRequestOf(job.request, scope.signal), range: ranged ? run.range : undefined });
    state.received = true;
    return await (state.stored === undefined ? readFresh(job, state, body) : readRest(job, state, { body, run: ranged ? run : undefined }));
  } finally {
    scope.abort(NOT_NEEDED); // frees the connection of a body left unread
  }
}

async function readFresh(job: SourceJob, state: ReadState, body: SourceBody): Promise<StoredTask | undefined> {
  if (body.contentLength === undefined) return spoolSource(job, body, paceOf(job));
  const { contentLength, responseHeader } = body;
  const meta = metaOf(job.taskId, job.request, { contentLength, pieceLength: job.pieceLengthOf(contentLength), responseHeader });
  if (isSmall(contentLength) && !job.share.isPart) return readSmall(job, state, { body, meta });
  state.stored = await job.store.open(meta, job.signal);
  state.opened = true;
  return readRest(job, state, { body, run: undefined });
}

/** Of a length that goes to the store in one go: to write it as it comes costs more than it takes in memory. */
const isSmall = (contentLength: number): boolean => contentLength > 0 && contentLength <= SMALL_BYTES;

/** Throws `source.truncated` when the body ends early. */
async function readSmall(
  job: SourceJob,
  state: ReadState,
  { body, meta }: { readonly body: SourceBody; readonly meta: TaskMeta },
): Promise<StoredTask | undefined> {
  const startedMs = job.clock.nowMs();
  const content = await contentOf(job, body.chunks, meta);
  const stored = content instanceof Uint8Array ? await job.store.keep(meta, content, job.signal) : undefined;
  if (stored === undefined) {
    // Peers began to bring it meanwhile, or it comes slowly: then all see what is there of it.
    state.stored = await job.store.open(meta, job.signal);
    state.opened = true;
    return readRest(job, state, {
      body: { ...body, chunks: content instanceof Uint8Array ? onlyChunk(content) : content },
      run: undefined,
    });
  }
  state.stored = stored;
  state.opened = true;
  job.onStored(stored, "adopted");
  const costMs = job.clock.nowMs() - startedMs;
  for (let index = 0; index < meta.pieceCount; index++) {
    const piece = stored.piece(index);
    if (piece !== undefined) job.onPiece(piece, costMs);
  }
  return stored.finished.full ? stored : undefined; // a reader may have found one damaged already
}

/** The whole content; or, where it takes long, the chunks of it, those that have come and those that will. */
async function contentOf(
  job: SourceJob,
  chunks: AsyncIterable<Uint8Array>,
  meta: TaskMeta,
): Promise<Uint8Array | AsyncIterable<Uint8Array>> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  const pace = paceOf(job);
  const untilMs = job.clock.nowMs() + SILENCE_MS;
  const coming = chunks[Symbol.asyncIterator]();
  const counted = job.meter.count({ [Symbol.asyncIterator]: () => coming });
  for (let next = await counted.next(); next.done !== true; next = await counted.next()) {
    await pace.pay(next.value.length);
    parts.push(next.value);
    bytes += next.value.length;
    if (bytes < meta.contentLength && job.clock.nowMs() >= untilMs) return resumed(parts, coming);
  }
  if (bytes < meta.contentLength) throw new AnaxError("source.truncated", { url: meta.url, pieceIndex: 0 });
  if (bytes > meta.contentLength) throw new AnaxError("source.bad-status", { reason: "more bytes than announced", url: meta.url });
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts, bytes); // just counted
}

async function* resumed(parts: readonly Uint8Array[], coming: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* parts;
    for (let next = await coming.next(); next.done !== true; next = await coming.next()) yield next.value;
  } finally {
    await coming.return?.();
  }
}

async function* onlyChunk(chunk: Uint8Array): AsyncGenerator<Uint8Array> {
  yield chunk;
}

async function readRest(
  job: SourceJob,
  state: ReadState,
  { body, run }: { readonly body: SourceBody; readonly run: SourceRun | undefined },
): Promise<StoredTask | undefined> {
  const known = state.stored;
  invariant(known !== undefined, "the rest is read of a task that is known");
  const totalLength = body.totalLength ?? (run === undefined ? body.contentLength : undefined);
  const change = changeOf(known.meta, { totalLength, responseHeader: body.responseHeader });
  if (change !== undefined) {
    await narrowed(state);
    await job.drop(known, change);
    state.stored = undefined;
    state.opened = false;
    return undefined;
  }
  const stored = state.opened ? known : await job.store.open(metaOf(job.taskId, job.request, known.meta), job.signal);
  state.stored = stored;
  state.opened = true;
  job.onStored(stored, "found");
  if (state.useRanges)
    state.wide ??= WideReading.of({
      job,
      stored,
      readRun: (lane, reads, signal) => readLane({ job, stored, wide: state.wide }, lane, reads, signal),
    });
  const reads = run ?? wholeOf(stored.meta);
  state.wide?.begin(reads);
  await readRun({ job, stored, wide: state.wide }, FIRST_LANE, reads, body);
  return stored.finished.full ? stored : undefined;
}

interface Reading {
  readonly job: SourceJob;
  readonly stored: StoredTask;
  readonly wide: WideReading | undefined;
}

/** One request beside the first connection's; whatever is wrong with it, that one will see. */
async function readLane(reading: Reading, lane: number, run: SourceRun, signal: AbortSignal): Promise<void> {
  const { job, stored } = reading;
  using scope = linkedSignal(signal);
  try {
    const body = await job.sources.read({ ...sourceRequestOf(job.request, scope.signal), range: run.range });
    const change = changeOf(stored.meta, { totalLength: body.totalLength, responseHeader: body.responseHeader });
    if (change === undefined) await readRun(reading, lane, run, body);
  } finally {
    scope.abort(NOT_NEEDED);
  }
}

async function readRun({ job, stored, wide }: Reading, lane: number, reads: SourceRun, body: SourceBody): Promise<void> {
  const isFree = (index: number): boolean => wide?.isFor(lane, index) ?? true;
  using claim = new Claim(job, reads, isFree);
  const { firstIndex: from, count } = reads;
  // One that begins outside of this host's share reads what nobody brought: all of it.
  const isOurs = (index: number): boolean => (job.share.includes(index) || !job.share.includes(from)) && isFree(index);
  const counted = { ...body, chunks: job.meter.count(body.chunks) };
  await writePieces({ stored, body: counted, pace: claim.pace, from, count, isOurs, clock: job.clock, onPiece: job.onPiece });
}

/** Who reads a part asks for so much at once: when the part is cut, little of what was asked for belongs to somebody else. */
const PART_REQUEST_BYTES = 8 * 1024 * 1024;
/** A source that is silent for so long does not keep its pieces any longer from being fetched from peers. */
const SILENCE_MS = 2000;

/** Keeps the pieces of a run for the source, for as long as their bytes come. */
class Claim implements Disposable {
  readonly pace: SourcePace;
  readonly #job: SourceJob;
  readonly #run: SourceRun;
  readonly #isOwn: (index: number) => boolean;
  readonly #silence: Watchdog<"source">;
  #held = false;

  /** `isOwn`: it is not read over another connection by now. */
  constructor(job: SourceJob, run: SourceRun, isOwn: (index: number) => boolean) {
    this.#job = job;
    this.#run = run;
    this.#isOwn = isOwn;
    this.#silence = new Watchdog(job.clock, () => this.#hold(false));
    const pace = paceOf(job);
    this.pace = {
      get blockBytes() {
        return pace.blockBytes;
      },
      pay: async (bytes) => {
        this.#hold(true);
        this.#silence.rest(); // it is us who are slow
        await pace.pay(bytes);
        this.#silence.watch("source", SILENCE_MS);
      },
    };
    this.#hold(true);
    this.#silence.watch("source", SILENCE_MS);
  }

  #hold(held: boolean): void {
    if (this.#held === held) return;
    this.#held = held;
    const { firstIndex, count } = this.#run;
    for (let index = firstIndex; index < firstIndex + count; index++) if (this.#isOwn(index)) this.#job.onClaim(index, held);
    if (!held) this.#job.onRequestEnd();
  }

  [Symbol.dispose](): void {
    this.#silence[Symbol.dispose]();
    this.#hold(false);
  }
}

/** Pieces that peers have are waited for so long; then they are read like the others. */
const PEERS_MS = 2000;

/** What is to be read next: what no peer brings, and at last also what they were to bring and did not. */
async function nextRunOf(job: SourceJob, stored: StoredTask, wide: WideReading | undefined): Promise<SourceRun | undefined> {
  const bytesMax = (): number => (job.share.isPart ? PART_REQUEST_BYTES : Infinity);
  for (;;) {
    const needed =
      wide === undefined
        ? nextRun(stored.meta, (index) => !isNeeded(job, stored, index), { bytesMax: bytesMax() })
        : wide.nextRun(FIRST_LANE, bytesMax());
    const missing = stored.finished.firstMissing();
    if (needed !== undefined || missing === undefined) return needed;
    const before = stored.finished.count;
    using patience = job.clock.deadline(PEERS_MS, job.signal);
    await Promise.race([job.share.changed, stored.waitForPiece(missing, patience.signal).catch(() => job.signal.throwIfAborted())]);
    const all = job.isOnItsOwn();
    const rest = nextRun(stored.meta, (index) => stored.finished.has(index) || !(all || job.share.includes(index)), {
      bytesMax: bytesMax(),
    });
    if (stored.finished.count > before || !patience.expired || rest === undefined) continue;
    await wide?.stopOthers();
    return rest;
  }
}

/** How the source is read beside everything else that this machine does. */
function paceOf({ limits, taskId, request, signal }: SourceJob): SourcePace {
  const priority = rateClassOf(request.priority);
  return {
    get blockBytes() {
      return Math.min(BLOCK_BYTES, limits.sourceTurnBytes);
    },
    pay: (bytes) => limits.source(taskId, priority, bytes, signal),
  };
}

function ready(job: SourceJob, stored: StoredTask): StoredTask {
  job.onStored(stored, "found");
  return stored;
}

/** What the source is asked. A range of the client's own would make a part look like the whole. */
export function sourceRequestOf(request: DownloadRequest, signal: AbortSignal) {
  const headers = Object.fromEntries(Object.entries(request.requestHeader).filter(([name]) => name.toLowerCase() !== "range"));
  return { url: request.url, headers, certificateChain: request.certificateChain, objectStorage: request.objectStorage, signal };
}
