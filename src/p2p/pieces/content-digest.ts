import type { Bitmap, Digest } from "../model/piece.ts";
import { parseDigest } from "../model/piece.ts";
import type { TaskMeta } from "../model/types.ts";
import type { DigestThread, FollowedDigest } from "./digest-thread.ts";

/** The digest of content that is still being written, computed along its front: the pieces without a gap from the start. */
export class ContentDigest {
  readonly #path: string;
  readonly #digests: DigestThread;
  #following: FollowedDigest | undefined;
  /** Pieces before this one are held. */
  #front = 0;

  constructor(path: string, digests: DigestThread) {
    this.#path = path;
    this.#digests = digests;
  }

  /** Another piece is held. */
  advance(meta: TaskMeta, held: Bitmap): void {
    if (meta.digest === undefined) return;
    const before = this.#front;
    this.#front = held.firstMissing(before) ?? meta.pieceCount;
    if (this.#front > before) this.#follow(meta.digest).advance(Math.min(this.#front * meta.pieceLength, meta.contentLength));
  }

  /** Compares the complete content with `digest`; the actual digest where it is another. Throws `disk.io`. */
  async check(digest: string, contentLength: number): Promise<{ readonly actual: Digest } | undefined> {
    const expected = parseDigest(digest);
    const value = await this.#follow(digest).result(contentLength);
    this.restart();
    return value === expected.value ? undefined : { actual: { algorithm: expected.algorithm, value } };
  }

  /** What was read so far counts no more. */
  restart(): void {
    this.#following?.stop();
    this.#following = undefined;
    this.#front = 0;
  }

  #follow(digest: string): FollowedDigest {
    return (this.#following ??= this.#digests.follow(this.#path, parseDigest(digest).algorithm));
  }
}
