import { link, mkdir, open, stat, truncate, unlink } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { realClock } from "../../src/base/clock.ts";
import { AnaxError, errorOf } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import { createRandom, type Random } from "../../src/base/random.ts";
import { PiecesConfig } from "../../src/p2p/pieces/config.ts";
import { aContent, never, pieceOf, storeAll, storePiece, type TestContent } from "../../src/p2p/pieces/piece-store.conformance.ts";
import type { Use } from "../../src/p2p/pieces/in-use.ts";
import { openPieceStore } from "../../src/p2p/pieces/store.ts";
import { PINNED_FOR_GOOD, type PieceStore, type StoredTask } from "../../src/p2p/pieces/types.ts";
import { waitFor } from "../kit/process.ts";
import { aFaultyDisk, type FaultyDisk } from "../kit/faulty-disk.ts";

/** Pieces are whole blocks of the disk, so that what is counted does not change when it is compared with the disk. */
const UNIT_BYTES = 40_960;
const QUOTA_BYTES = 10 * UNIT_BYTES;
const OPERATIONS = 40;
/** Beyond the quota, so that only who fills it finds it full; the database has some of it. */
const DISK_BYTES = 8 * 1024 * 1024;

/** What must be true of one task, whatever the store does to make room. */
interface Expected {
  readonly content: TestContent;
  readonly leases: Disposable[];
  finished: boolean;
  pinned: boolean;
  /** Another name of its file. */
  linkedAt: string | undefined;
  /** A container has it. */
  contained: boolean;
  /** Pieces whose bytes were changed or lost under the store; also those that it dropped, as a full disk may not let that be recorded. */
  readonly damaged: Set<number>;
  /** How its file fares: a task whose file is short, or gone, is forgotten when that is noticed, at the next start at the latest. */
  file: "there" | "short" | "gone";
}

const isUsed = ({ leases, pinned, linkedAt, contained, file }: Expected): boolean =>
  leases.length > 0 || pinned || contained || (linkedAt !== undefined && file !== "gone");

const expectedOf = (content: TestContent, finished: boolean): Expected => ({
  content,
  leases: [],
  finished,
  pinned: false,
  linkedAt: undefined,
  contained: false,
  damaged: new Set(),
  file: "there",
});

/**
 * Does to a real store on disk what programs, people, accidents and failing disks do, in an order that follows from the seed, and compares it after
 * each step with what was expected. Throws with the step at which a task in use was lost, the quota exceeded, wrong bytes passed for right, or
 * something failed without a code.
 */
export async function storeAgainstModel(seed: number): Promise<void> {
  await using disk = await aFaultyDisk(DISK_BYTES);
  const model = new Model(disk, createRandom(seed));
  const done: string[] = [];
  try {
    await model.start();
    for (let step = 0; step < OPERATIONS; step++) {
      try {
        done.push(await model.step());
        await model.check();
      } catch (thrown) {
        throw new Error(`seed ${seed}: ${String(thrown)}, after: ${done.join(", ")}`, { cause: thrown });
      }
    }
  } finally {
    await model.stop();
  }
}

class Model {
  readonly #disk: FaultyDisk;
  readonly #random: Random;
  readonly #expected = new Map<string, Expected>();
  #store: PieceStore | undefined;
  #made = 0;

  constructor(disk: FaultyDisk, random: Random) {
    this.#disk = disk;
    this.#random = random;
  }

  async start(): Promise<void> {
    await mkdir(join(this.#disk.dir, "links"), { recursive: true });
    const limits = { quotaBytes: QUOTA_BYTES, diskFreeMinBytes: 0, diskFullPercent: 100 };
    const config = PiecesConfig.parse({ ...limits, spaceWaitMs: "0ms", syncOnFinish: false });
    const inUse = [{ uses: async () => this.#containers() }];
    this.#store = await openPieceStore({ dir: join(this.#disk.dir, "store"), config, clock: realClock, log: silentLog, inUse });
  }

  async stop(): Promise<void> {
    for (const { leases } of this.#expected.values()) for (const lease of leases.splice(0)) lease[Symbol.dispose]();
    await this.#store?.[Symbol.asyncDispose]();
    this.#store = undefined;
  }

  async step(): Promise<string> {
    const steps = [
      () => this.#download(),
      () => this.#download(),
      () => this.#download(),
      () => this.#breakOff(),
      () => this.#use(),
      () => this.#use(),
      () => this.#letGo(),
      () => this.#pin(),
      () => this.#link(),
      () => this.#unlink(),
      () => this.#contain(),
      () => this.#collect(),
      () => this.#remove(),
      () => this.#doubt(),
      () => this.#deliver(),
      () => this.#deliver(),
      () => this.#restart(),
      () => this.#flip(),
      () => this.#cutOff(),
      () => this.#lose(),
      ...(this.#disk.canFail
        ? [() => this.#fillInADownload(), () => this.#fill(), () => this.#empty(), () => this.#restartReadOnly()]
        : []),
    ];
    return steps[this.#random.below(steps.length)]!(); // one of them
  }

  /** Nothing in use is gone or has lost a piece, and no more is kept than may be. */
  async check(): Promise<void> {
    const store = this.#store!; // it was started
    for (const [id, expected] of this.#expected) {
      const task = this.#taskOf(id);
      if (task === undefined && isUsed(expected) && expected.file === "there") throw new Error("a task in use is gone");
      if (task === undefined) this.#expected.delete(id);
      else if (expected.finished && expected.damaged.size === 0 && !task.finished.full) throw new Error("a finished task has lost pieces");
    }
    const { storedBytes, reservedBytes } = await store.usage();
    if (storedBytes + reservedBytes > QUOTA_BYTES) throw new Error(`${storedBytes} stored and ${reservedBytes} reserved of ${QUOTA_BYTES}`);
  }

  async #download(): Promise<string> {
    const content = aContent({ seed: ++this.#made, bytes: UNIT_BYTES * (1 + this.#random.below(4)), pieceBytes: UNIT_BYTES / 2 });
    const task = await this.#opened(content);
    if (task === undefined) return "a download that found no room";
    return this.#stored(task, content);
  }

  /** To its end, or to that of the disk. */
  async #stored(task: StoredTask, content: TestContent): Promise<string> {
    const failure = await failureOf(storeAll(task, content).then(() => task.finish(never())));
    if (failure !== undefined) task.fail(failure);
    if (failure !== undefined && !this.#disk.isFull) throw failure;
    this.#expected.set(content.meta.id, expectedOf(content, failure === undefined));
    return failure === undefined ? "a download" : `a download that ended with ${failure.code}`;
  }

  /** Half of it is here, and nobody goes on. */
  async #breakOff(): Promise<string> {
    const content = aContent({ seed: ++this.#made, bytes: UNIT_BYTES * 2, pieceBytes: UNIT_BYTES / 2 });
    const task = await this.#opened(content);
    if (task === undefined) return "a download that found no room";
    const failure = await failureOf(storePiece(task, content, 1));
    if (failure !== undefined && !this.#disk.isFull) throw failure;
    task.fail(new Error("the network is gone"));
    this.#expected.set(content.meta.id, expectedOf(content, false));
    return "a download that broke off";
  }

  /** Undefined: all is in use. It may say so only where that is true. */
  async #opened({ meta }: TestContent): Promise<StoredTask | undefined> {
    try {
      return await this.#store!.open(meta);
    } catch (thrown) {
      if (errorOf(thrown).code !== "disk.full") throw thrown;
      if (this.#disk.isFull) return undefined;
      const used = [...this.#expected.values()].filter(isUsed).reduce((sum, { content }) => sum + content.meta.contentLength, 0);
      if (used + meta.contentLength <= QUOTA_BYTES)
        throw new Error(`only ${used} bytes are in use, but ${meta.contentLength} found no room`, { cause: thrown });
      return undefined;
    }
  }

  #use(): string {
    return this.#ofAny((expected, task) => {
      expected.leases.push(task.lease(this.#random.next() < 0.5 ? "upload" : "proxy-read"));
      return "a use";
    });
  }

  #letGo(): string {
    return this.#ofAny(({ leases }) => {
      leases.pop()?.[Symbol.dispose]();
      return "the end of a use";
    });
  }

  async #pin(): Promise<string> {
    return this.#ofAny(async (expected, { meta }) => {
      const failure = await failureOf(expected.pinned ? this.#store!.unpin(meta.id) : this.#store!.pin(meta.id, PINNED_FOR_GOOD));
      if (failure !== undefined && !this.#disk.isFull) throw failure;
      if (failure !== undefined) return `a pin that ended with ${failure.code}`; // and changed nothing
      expected.pinned = !expected.pinned;
      return expected.pinned ? "a pin" : "an unpin";
    });
  }

  async #link(): Promise<string> {
    return this.#ofAny(async (expected, { path, meta }) => {
      if (!expected.finished || expected.linkedAt !== undefined || expected.file === "gone" || this.#disk.isFull) return "nothing";
      expected.linkedAt = join(this.#disk.dir, "links", meta.id);
      await link(path, expected.linkedAt);
      return "a link";
    });
  }

  async #unlink(): Promise<string> {
    return this.#ofAny(async (expected) => {
      if (expected.linkedAt !== undefined) await unlink(expected.linkedAt);
      expected.linkedAt = undefined;
      return "the end of a link";
    });
  }

  /** A container of it comes or goes; seen by the next question, which may be a second away. */
  async #contain(): Promise<string> {
    return this.#ofAny(async (expected) => {
      expected.contained = !expected.contained;
      await this.#store!.collect({ dryRun: true });
      return expected.contained ? "a container" : "the end of a container";
    });
  }

  #containers(): readonly Use[] {
    return [...this.#expected]
      .filter(([, { contained }]) => contained)
      .map(([id]) => ({ reason: "container", by: "web", content: { digest: `sha256:${id}` } }));
  }

  async #collect(): Promise<string> {
    await this.#store!.collect({ freeBytes: this.#random.below(QUOTA_BYTES) });
    return "a collection";
  }

  async #remove(): Promise<string> {
    return this.#ofAny(async (expected, { meta }) => {
      const code = await this.#store!.remove(meta.id).then(
        () => "removed",
        (thrown: unknown) => errorOf(thrown).code,
      );
      if (code !== (isUsed(expected) ? "task.in-use" : "removed")) throw new Error(`removing ended with ${code}`);
      return "a removal";
    });
  }

  /** A reader doubts a piece. */
  async #doubt(): Promise<string> {
    return this.#ofAny((expected, task) => (expected.finished ? this.#reread(expected, task, 0) : "nothing"));
  }

  /** Reads a piece again for somebody who doubts it: one that is as it was stays, one that is not goes, in both cases for the right reason. */
  async #reread(expected: Expected, task: StoredTask, index: number): Promise<string> {
    const { damaged } = expected;
    let verdict: "intact" | "dropped" | undefined;
    const failure = await failureOf(task.quarantinePiece(index).then((said) => (verdict = said)));
    if (!damaged.has(index)) {
      if (verdict === "intact") return "a doubt";
      throw failure ?? new Error("an intact piece was dropped");
    }
    if (verdict === "intact" && expected.file === "gone") return "a doubt"; // it was open, so that its bytes are still there
    if (verdict === "intact") throw new Error("a damaged piece was found to be intact");
    expected.finished = false;
    await this.#afterDrop(expected, task);
    return `a doubt with a reason, which ended with ${failure?.code ?? "the piece dropped"}`;
  }

  /** Content with another name is given up to that name, and its task begins anew. */
  async #afterDrop(expected: Expected, task: StoredTask): Promise<void> {
    const { linkedAt, content } = expected;
    const size = await stat(task.path).then(
      (found) => found.size,
      () => undefined,
    );
    expected.file = size === undefined ? "gone" : size === content.meta.contentLength ? "there" : "short";
    if (linkedAt === undefined || (await stat(linkedAt)).nlink > 1) return;
    await unlink(linkedAt);
    expected.linkedAt = undefined;
    for (let index = 0; index < content.meta.pieceCount; index++) expected.damaged.add(index);
  }

  /** As a peer gets it: the bytes of each piece that is held, with the checksum that is told of it. */
  async #deliver(): Promise<string> {
    return this.#ofAny(async (expected, task) => {
      const { content, damaged } = expected;
      using _lease = task.lease("upload");
      for (let index = 0; index < content.meta.pieceCount; index++) {
        const piece = task.piece(index);
        if (piece === undefined) continue;
        const into = Buffer.alloc(piece.lengthBytes);
        let bytes = 0;
        const failure = await failureOf(task.read({ offsetBytes: piece.offsetBytes, into }).then((count) => (bytes = count)));
        const passes = failure === undefined && bytes === piece.lengthBytes && crc32(into) === piece.crc32;
        if (passes && !into.equals(pieceOf(content, index))) throw new Error("wrong bytes passed for right");
        if (!passes && !damaged.has(index)) throw failure ?? new Error("an intact piece is not what its checksum says");
        if (!passes) await this.#reread(expected, task, index);
      }
      return "a delivery";
    });
  }

  /** Uses end with the process; pins, links and content do not. */
  async #restart(): Promise<string> {
    await this.stop();
    const { isFull } = this.#disk;
    const failure = await failureOf(this.start());
    if (failure !== undefined && !isFull) throw failure;
    if (failure !== undefined) await this.#disk.empty().then(() => this.start());
    await this.#afterRestart(isFull);
    return failure === undefined ? "a restart" : `a restart that ended with ${failure.code}, and another`;
  }

  async #restartReadOnly(): Promise<string> {
    await this.stop();
    const { isFull } = this.#disk;
    await this.#disk.setReadOnly(true);
    const failure = await failureOf(this.start());
    if (failure === undefined) throw new Error("a store was opened where nothing can be written");
    await this.#disk.setReadOnly(false);
    await this.#disk.empty();
    await this.start();
    await this.#afterRestart(isFull);
    return `a restart on a disk that was read-only: ${failure.code}`;
  }

  /** A file that is short or gone is seen, and the task with it. What a full disk did not let be recorded is lost, unless it was pinned. */
  async #afterRestart(wasFull: boolean): Promise<void> {
    for (const [id, expected] of this.#expected) {
      const task = this.#taskOf(id);
      await waitFor(async () => task?.state !== "verifying"); // whose end a full disk did not let be recorded
      if (expected.file !== "there" && task !== undefined) throw new Error("a task was kept without its content");
      if (expected.file !== "there" || (wasFull && task === undefined && !expected.pinned)) this.#expected.delete(id);
      else if (wasFull) expected.finished &&= task?.finished.full === true;
    }
  }

  /** A bit of a piece changes on the disk. */
  async #flip(): Promise<string> {
    return this.#ofAny(async ({ damaged, content, file }, task) => {
      const held = heldOf(task);
      if (file === "gone" || held.length === 0) return "nothing";
      const index = held[this.#random.below(held.length)]!; // there is one
      if (damaged.has(index)) return "nothing"; // it could become right again
      await using opened = await open(task.path, "r+");
      const at = index * content.meta.pieceLength + this.#random.below(pieceOf(content, index).length);
      const byte = Buffer.alloc(1);
      await opened.read(byte, 0, 1, at);
      byte[0]! ^= 1 << this.#random.below(8); // one was read
      const failure = await opened.write(byte, 0, 1, at).catch((thrown: NodeJS.ErrnoException) => thrown.code);
      if (failure === "ENOSPC") return "nothing";
      damaged.add(index);
      return "a flipped bit";
    });
  }

  async #cutOff(): Promise<string> {
    return this.#ofAny(async (expected, task) => {
      if (expected.file !== "there") return "nothing";
      const { contentLength, pieceLength } = expected.content.meta;
      const bytes = this.#random.below(contentLength);
      await truncate(task.path, bytes);
      expected.file = "short";
      for (const index of heldOf(task)) if ((index + 1) * pieceLength > bytes) expected.damaged.add(index);
      return "a file cut off";
    });
  }

  async #lose(): Promise<string> {
    return this.#ofAny(async (expected, task) => {
      if (expected.file === "gone") return "nothing";
      await unlink(task.path);
      expected.file = "gone";
      for (const index of heldOf(task)) expected.damaged.add(index);
      return "a file lost";
    });
  }

  async #fillInADownload(): Promise<string> {
    const content = aContent({ seed: ++this.#made, bytes: UNIT_BYTES * 2, pieceBytes: UNIT_BYTES / 2 });
    const task = await this.#opened(content);
    if (task === undefined) return "a download that found no room";
    await this.#disk.fill();
    return `a disk that was filled under ${await this.#stored(task, content)}`;
  }

  async #fill(): Promise<string> {
    await this.#disk.fill();
    return "a full disk";
  }

  async #empty(): Promise<string> {
    await this.#disk.empty();
    return "room on the disk";
  }

  #ofAny<T>(act: (expected: Expected, task: StoredTask) => T): T | "nothing" {
    const all = [...this.#expected].filter(([id]) => this.#taskOf(id) !== undefined);
    if (all.length === 0) return "nothing";
    const [id, expected] = all[this.#random.below(all.length)]!; // there is one
    return act(expected, this.#taskOf(id)!); // just looked
  }

  #taskOf(id: string): StoredTask | undefined {
    return this.#store!.list().find(({ meta }) => meta.id === id);
  }
}

const heldOf = (task: StoredTask): readonly number[] =>
  Array.from({ length: task.meta.pieceCount }, (_, index) => index).filter((index) => task.finished.has(index));

/** How it failed, which it must do with a code of its own; undefined: it did not. */
async function failureOf(work: Promise<unknown>): Promise<AnaxError | undefined> {
  try {
    await work;
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof AnaxError) || thrown.code === "internal") throw new Error("it failed without a code", { cause: thrown });
    return thrown;
  }
}
