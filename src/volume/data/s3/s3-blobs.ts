import { createHash } from "node:crypto";
import type { Clock } from "../../../base/clock.ts";
import { AnaxError } from "../../../base/errors.ts";
import type { Blob } from "../../meta/extents.ts";
import { blobIdOf, directoryOf, objectNameOf, type BlobStore, type StoredObject } from "../blob-store.ts";
import type { S3Data } from "../volume-data.ts";
import { S3Bucket } from "./s3-bucket.ts";

/** Blobs of one volume as objects of a bucket: `PREFIX UUID/blobs/ID div 4096/SHA256-ID`. */
export class S3Blobs implements BlobStore {
  readonly #bucket: S3Bucket;
  readonly #data: S3Data;
  readonly #root: string;

  private constructor(bucket: S3Bucket, data: S3Data, volumeUuid: string) {
    this.#bucket = bucket;
    this.#data = data;
    this.#root = rootOf(data, volumeUuid);
  }

  static async open(data: S3Data, volumeUuid: string, clock: Clock): Promise<S3Blobs> {
    return new S3Blobs(await S3Bucket.open(data, clock), data, volumeUuid);
  }

  async put(blob: Blob, parts: readonly Uint8Array[]): Promise<void> {
    await this.#bucket.put(this.#keyOf(blob), parts.length === 1 ? parts[0]! : Buffer.concat(parts), blob.sha256);
  }

  /** What the store has accepted, it keeps. */
  async sync(): Promise<void> {}

  async read(blob: Blob, offset: number, into: Uint8Array): Promise<void> {
    const content = await this.content(blob);
    if (offset + into.length > content.length) throw new AnaxError("disk.corrupt", { blob: blob.id, reason: "the blob is too short" });
    into.set(content.subarray(offset, offset + into.length));
  }

  /** All of it, compared with its digest. Throws `piece.not-found`, `disk.corrupt`, `volume.unreachable`, the signal's reason. */
  async content(blob: Blob, stop?: AbortSignal): Promise<Buffer> {
    const key = this.#keyOf(blob);
    const content = await this.#bucket.get(key, blob.bytes + 1, stop); // one more, to see that nothing is behind it
    if (content === undefined) throw new AnaxError("piece.not-found", { blob: blob.id, bucket: this.#data.bucket, key });
    if (isGood(blob, content)) return content;
    throw new AnaxError("disk.corrupt", { bucket: this.#data.bucket, key, reason: "the digest does not match" });
  }

  /** An address by which whoever has it may read this blob, for so long. */
  readUrl(blob: Blob, validMs: number): Promise<string> {
    return this.#bucket.readUrl(this.#keyOf(blob), validMs);
  }

  async inspect(blob: Blob, { content }: { readonly content: boolean }): Promise<"good" | "missing" | "damaged"> {
    const key = this.#keyOf(blob);
    if (!content) {
      const bytes = await this.#bucket.head(key);
      return bytes === undefined ? "missing" : bytes === blob.bytes ? "good" : "damaged";
    }
    const found = await this.#bucket.get(key, blob.bytes + 1);
    return found === undefined ? "missing" : isGood(blob, found) ? "good" : "damaged";
  }

  async remove(blob: Blob): Promise<void> {
    await this.#bucket.remove(this.#keyOf(blob));
  }

  async *list(): AsyncIterable<StoredObject> {
    const below = `${this.#root}blobs/`;
    for await (const { key, bytes } of this.#bucket.list(below)) {
      const [directory, name = "", ...more] = key.slice(below.length).split("/");
      const id = more.length === 0 ? blobIdOf(name) : undefined;
      // A blob in a place where nobody would look for it is none of ours.
      yield { key: key.slice(below.length), blobId: id !== undefined && directoryOf(id) === directory ? id : undefined, bytes };
    }
  }

  /** A bucket knows no renaming: a copy, and only when that is there, the end of the other. */
  async quarantine(key: string): Promise<void> {
    const from = `${this.#root}blobs/${key}`;
    if (await this.#bucket.copy({ bucket: this.#data.bucket, key: from }, `${this.#root}quarantine/${key}`))
      await this.#bucket.remove(from);
  }

  /** Another volume's blob of the same store becomes one of this volume. False: it is not there. */
  share(blob: Blob, from: { readonly data: S3Data; readonly volumeUuid: string }): Promise<boolean> {
    return this.#bucket.copy({ bucket: from.data.bucket, key: `${rootOf(from.data, from.volumeUuid)}${pathOf(blob)}` }, this.#keyOf(blob));
  }

  /** Says whose place this is, to whoever looks into the bucket; fails where nothing can be written. */
  async mark(text: string): Promise<void> {
    const content = Buffer.from(text);
    await this.#bucket.put(`${this.#root}${MARK}`, content, createHash("sha256").update(content).digest("hex"));
  }

  /** Whether the bucket, asked with the credentials of this process, has that. */
  async isMarked(): Promise<boolean> {
    return (await this.#bucket.head(`${this.#root}${MARK}`)) !== undefined;
  }

  async unmark(): Promise<void> {
    await this.#bucket.remove(`${this.#root}${MARK}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#bucket[Symbol.dispose]();
  }

  #keyOf(blob: Blob): string {
    return `${this.#root}${pathOf(blob)}`;
  }
}

const MARK = "anax-volume.json";

const rootOf = ({ prefix }: S3Data, volumeUuid: string): string => `${prefix}${volumeUuid}/`;

const pathOf = (blob: Blob): string => `blobs/${directoryOf(blob.id)}/${objectNameOf(blob)}`;

/** Whether this is all of the blob. */
export const isGood = (blob: Blob, content: Uint8Array): boolean =>
  content.length === blob.bytes && createHash("sha256").update(content).digest("hex") === blob.sha256;
