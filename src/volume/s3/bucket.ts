import { constants } from "node:os";
import type { Clock } from "../../base/clock.ts";
import type { OpenVolume } from "../lifecycle/open-volume.ts";
import { failed, isPending, ROOT_INO, type Answer, type VolumeVerbs } from "../meta/verbs.ts";
import type { VolumeFiles } from "../data/volume-files.ts";
import { WORK_FOLDER } from "./keys.ts";
import { errnoError, valueOf } from "./s3-error.ts";

const { EEXIST, ENOENT } = constants.errno;

/** What the gateway has of its own in a volume: what is being written, parts of uploads, versions that are not current. */
export type WorkFolder = "drafts" | "uploads" | "versions";

/** A volume as a bucket, open for requests. */
export class Bucket {
  readonly name: string;
  readonly verbs: VolumeVerbs;
  readonly files: VolumeFiles;
  readonly clock: Clock;
  readonly #folders = new Map<WorkFolder, number>();
  #drafts = 0;
  #flushing: Promise<void> | undefined;

  constructor({ name, volume, clock }: { readonly name: string; readonly volume: OpenVolume; readonly clock: Clock }) {
    this.name = name;
    this.verbs = volume.verbs;
    this.files = volume.files;
    this.clock = clock;
  }

  /** Everything that was done to the volume until now stays through a loss of power; those who ask in one turn share a flush. */
  async durable(): Promise<void> {
    await this.verbs.settle(false);
    await (this.#flushing ??= new Promise<void>((resolve) => void setImmediate(resolve)).then(() => {
      this.#flushing = undefined;
      return this.verbs.settle(true);
    }));
  }

  /**
   * The answer, for which this thread may have to wait. No change is left open meanwhile: it would keep everybody else from writing to the volume, the heartbeat of this
   * very thread among them, which waits without letting the change end.
   */
  async waited<T>(answer: Answer<T>): Promise<T> {
    if (isPending(answer)) await this.verbs.settle(false);
    return answer;
  }

  /** Others have their turn, between two pieces of much work. */
  async rest(): Promise<void> {
    await this.verbs.settle(false);
    await new Promise<void>((resolve) => void setImmediate(resolve));
  }

  /** Nobody has had it before; the session tells whose it is when it is left behind. */
  newDraftName(): string {
    return `${this.verbs.sessionId}-${++this.#drafts}`;
  }

  /** Makes it where it is not there. Throws S3Error. */
  async workFolder(which: WorkFolder): Promise<number> {
    const known = this.#folders.get(which);
    if (known !== undefined && !failed(await this.verbs.getattr(known))) return known;
    const ino = await this.#own(await this.#own(ROOT_INO, WORK_FOLDER), which);
    this.#folders.set(which, ino);
    return ino;
  }

  /** The same, if it is there. */
  async findWorkFolder(which: WorkFolder): Promise<number | undefined> {
    const own = await this.verbs.lookup(ROOT_INO, WORK_FOLDER);
    const found = failed(own) ? own : await this.verbs.lookup(own.ino, which);
    return failed(found) ? undefined : found.ino;
  }

  async #own(parent: number, name: string): Promise<number> {
    const found = await this.verbs.lookup(parent, name);
    if (!failed(found)) return found.ino;
    if (found !== ENOENT) throw errnoError(found);
    const { uid, gid } = valueOf(await this.verbs.getattr(ROOT_INO));
    const made = await this.verbs.create(parent, name, { kind: "directory", permissions: 0o700, uid, gid });
    return made === EEXIST ? valueOf(await this.verbs.lookup(parent, name)).ino : valueOf(made).ino;
  }
}
