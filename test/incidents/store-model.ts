import { link, mkdir, mkdtemp, rm, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realClock } from "../../src/base/clock.ts";
import { errorOf } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import { createRandom, type Random } from "../../src/base/random.ts";
import { PiecesConfig } from "../../src/p2p/pieces/config.ts";
import { aContent, never, storeAll, storePiece, type TestContent } from "../../src/p2p/pieces/piece-store.conformance.ts";
import type { Use } from "../../src/p2p/pieces/in-use.ts";
import { openPieceStore } from "../../src/p2p/pieces/store.ts";
import { PINNED_FOR_GOOD, type PieceStore, type StoredTask } from "../../src/p2p/pieces/types.ts";

/** Pieces are whole blocks of the disk, so that what is counted does not change when it is compared with the disk. */
const UNIT_BYTES = 40_960;
const QUOTA_BYTES = 10 * UNIT_BYTES;
const OPERATIONS = 40;

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
}

const isUsed = ({ leases, pinned, linkedAt, contained }: Expected): boolean =>
  leases.length > 0 || pinned || linkedAt !== undefined || contained;

/**
 * Does to a real store on disk what programs, people and accidents do, in an order that follows from the seed, and compares it after each step
 * with what was expected. Throws with the step at which a task in use was lost or the quota exceeded.
 */
export async function storeAgainstModel(seed: number): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "anax-model-"));
  const model = new Model(dir, createRandom(seed));
  try {
    await model.start();
    for (let step = 0; step < OPERATIONS; step++) {
      const what = await model.step();
      await model.check(`seed ${seed}, step ${step}, after ${what}`);
    }
  } finally {
    await model.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

class Model {
  readonly #dir: string;
  readonly #random: Random;
  readonly #expected = new Map<string, Expected>();
  #store: PieceStore | undefined;
  #made = 0;

  constructor(dir: string, random: Random) {
    this.#dir = dir;
    this.#random = random;
  }

  async start(): Promise<void> {
    await mkdir(join(this.#dir, "links"), { recursive: true });
    const config = PiecesConfig.parse({ quotaBytes: QUOTA_BYTES, diskFreeMinBytes: 0, spaceWaitMs: "0ms", syncOnFinish: false });
    const inUse = [{ uses: async () => this.#containers() }];
    this.#store = await openPieceStore({ dir: join(this.#dir, "store"), config, clock: realClock, log: silentLog, inUse });
  }

  async stop(): Promise<void> {
    for (const { leases } of this.#expected.values()) for (const lease of leases.splice(0)) lease[Symbol.dispose]();
    await this.#store?.[Symbol.asyncDispose]();
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
      () => this.#damage(),
      () => this.#restart(),
    ];
    return steps[this.#random.below(steps.length)]!(); // one of them
  }

  /** Nothing in use is gone or has lost a piece, and no more is kept than may be. */
  async check(when: string): Promise<void> {
    const store = this.#store!; // it was started
    for (const [id, expected] of this.#expected) {
      const task = this.#taskOf(id);
      if (task === undefined && isUsed(expected)) throw new Error(`${when}: a task in use is gone`);
      if (task === undefined) this.#expected.delete(id);
      else if (expected.finished && !task.finished.full) throw new Error(`${when}: a finished task has lost pieces`);
    }
    const { storedBytes, reservedBytes } = await store.usage();
    if (storedBytes + reservedBytes > QUOTA_BYTES)
      throw new Error(`${when}: ${storedBytes} stored and ${reservedBytes} reserved of ${QUOTA_BYTES}`);
  }

  async #download(): Promise<string> {
    const content = aContent({ seed: ++this.#made, bytes: UNIT_BYTES * (1 + this.#random.below(4)), pieceBytes: UNIT_BYTES / 2 });
    const task = await this.#opened(content);
    if (task === undefined) return "a download that found no room";
    await storeAll(task, content);
    await task.finish(never());
    this.#expected.set(content.meta.id, { content, leases: [], finished: true, pinned: false, linkedAt: undefined, contained: false });
    return "a download";
  }

  /** Half of it is here, and nobody goes on. */
  async #breakOff(): Promise<string> {
    const content = aContent({ seed: ++this.#made, bytes: UNIT_BYTES * 2, pieceBytes: UNIT_BYTES / 2 });
    const task = await this.#opened(content);
    if (task === undefined) return "a download that found no room";
    await storePiece(task, content, 1);
    task.fail(new Error("the network is gone"));
    this.#expected.set(content.meta.id, { content, leases: [], finished: false, pinned: false, linkedAt: undefined, contained: false });
    return "a download that broke off";
  }

  /** Undefined: all is in use. It may say so only where that is true. */
  async #opened({ meta }: TestContent): Promise<StoredTask | undefined> {
    try {
      return await this.#store!.open(meta);
    } catch (thrown) {
      if (errorOf(thrown).code !== "disk.full") throw thrown;
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
      if (expected.pinned) await this.#store!.unpin(meta.id);
      else await this.#store!.pin(meta.id, PINNED_FOR_GOOD);
      expected.pinned = !expected.pinned;
      return expected.pinned ? "a pin" : "an unpin";
    });
  }

  async #link(): Promise<string> {
    return this.#ofAny(async (expected, { path, meta }) => {
      if (!expected.finished || expected.linkedAt !== undefined) return "nothing";
      expected.linkedAt = join(this.#dir, "links", meta.id);
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

  /** A reader doubts a piece that is as it was. */
  async #damage(): Promise<string> {
    return this.#ofAny(async ({ finished }, task) => {
      if (!finished) return "nothing";
      const verdict = await task.quarantinePiece(0);
      if (verdict !== "intact") throw new Error("an intact piece was dropped");
      return "a doubt";
    });
  }

  /** Uses end with the process; pins, links and content do not. */
  async #restart(): Promise<string> {
    await this.stop();
    await this.start();
    return "a restart";
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
