import type { BigIntStats } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import { blobTaskIdOf } from "../model/ids.ts";
import type { TaskMeta } from "../model/types.ts";

/** Who, besides the store itself, uses content on this machine: containers, mounts. */
export interface InUse {
  /**
   * All uses as they are now, or, where that cannot be told, as they were when it last could. Asked before anything is deleted, so it ends within
   * a deadline of its own, and it never rejects.
   */
  uses(): Promise<readonly Use[]>;
}

export interface Use {
  readonly reason: OutsideReason;
  /** As people know it: `web (registry.example/app:1)`, `/mnt/data`. */
  readonly by: string;
  /** A blob (`sha256:…`), a file, or, where no more than that can be told, every blob of an image. */
  readonly content: { readonly digest: string } | { readonly file: FileId } | "image-blobs";
}

export type OutsideReason = "container" | "mount";

/** Tells a file on this machine from every other, whatever its names. */
export type FileId = string & { readonly __brand: "FileId" };

export const fileIdOf = ({ dev, ino }: Pick<BigIntStats, "dev" | "ino">): FileId => `${dev}:${ino}` as FileId;

/** Many downloads at once need not ask each. Longer, and the image of a container that has just been started could go. */
const USES_AGE_MAX_MS = 1000;
/** Users of one content that are remembered; more would only make a message longer. */
const USERS_MAX = 16;

/** What the outside used when it was last asked, found by content. */
export class OutsideUses {
  readonly #ports: readonly InUse[];
  readonly #clock: Clock;
  #byContent = new Map<string, Use[]>();
  #asking: Promise<void> | undefined;
  #askedAtMs = -Infinity;

  constructor(ports: readonly InUse[], clock: Clock) {
    this.#ports = ports;
    this.#clock = clock;
  }

  /** What is known afterwards is at most so old. */
  async ask(ageMaxMs = USES_AGE_MAX_MS): Promise<void> {
    if (this.#ports.length === 0 || this.#clock.nowMs() - this.#askedAtMs < ageMaxMs) return;
    this.#asking ??= this.#ask().finally(() => (this.#asking = undefined));
    await this.#asking;
  }

  of(meta: TaskMeta, file: FileId | undefined): readonly Use[] {
    if (this.#byContent.size === 0) return [];
    const blob = blobTaskIdOf(meta.url);
    const keys = new Set([`sha256:${meta.id}`, meta.digest, file, ...(blob === undefined ? [] : [`sha256:${blob}`, "image-blobs"])]);
    return [...keys].flatMap((key) => (key === undefined ? [] : (this.#byContent.get(key) ?? [])));
  }

  async #ask(): Promise<void> {
    const askedAtMs = this.#clock.nowMs();
    const found = await Promise.all(this.#ports.map((port) => port.uses()));
    this.#byContent = indexOf(found.flat());
    this.#askedAtMs = askedAtMs;
  }
}

function indexOf(uses: readonly Use[]): Map<string, Use[]> {
  const index = new Map<string, Use[]>();
  for (const use of uses) {
    const key = keyOf(use);
    const known = index.get(key);
    if (known === undefined) index.set(key, [use]);
    else if (known.length < USERS_MAX) known.push(use);
  }
  return index;
}

function keyOf({ content }: Use): string {
  if (content === "image-blobs") return content;
  return "digest" in content ? content.digest : content.file;
}
