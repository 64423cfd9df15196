import type { Clock } from "../../../base/clock.ts";
import type { Blob } from "../../meta/extents.ts";
import type { BlobStore, StoredObject } from "../blob-store.ts";
import { LocalBlobs } from "../local-blobs.ts";
import { S3Blobs } from "../s3/s3-blobs.ts";
import type { S3Data } from "../volume-data.ts";

export interface RemotePlaces {
  readonly data: S3Data;
  readonly volumeUuid: string;
  /** Blobs of this machine that the bucket does not have yet. */
  readonly staged: string;
  /** Blobs that are kept here to be read again. */
  readonly cache: string;
}

/** All places of a volume whose content lies in a bucket, as collection and checks see them: what is still to be uploaded counts as being there. */
export class RemoteBlobs implements BlobStore {
  readonly remote: S3Blobs;
  readonly #staged: LocalBlobs;
  readonly #cache: LocalBlobs;

  private constructor(remote: S3Blobs, { staged, cache }: RemotePlaces) {
    this.remote = remote;
    this.#staged = new LocalBlobs(staged);
    this.#cache = new LocalBlobs(cache);
  }

  static async open(places: RemotePlaces, clock: Clock): Promise<RemoteBlobs> {
    return new RemoteBlobs(await S3Blobs.open(places.data, places.volumeUuid, clock), places);
  }

  put(blob: Blob, parts: readonly Uint8Array[]): Promise<void> {
    return this.remote.put(blob, parts);
  }

  sync(): Promise<void> {
    return this.remote.sync();
  }

  read(blob: Blob, offset: number, into: Uint8Array): Promise<void> {
    return this.remote.read(blob, offset, into);
  }

  async inspect(blob: Blob, look: { readonly content: boolean }): Promise<"good" | "missing" | "damaged"> {
    const staged = await this.#staged.inspect(blob, look);
    return staged === "good" ? staged : this.remote.inspect(blob, look);
  }

  /** What waits to be uploaded goes first, so that nobody begins to upload it again. */
  async remove(blob: Blob): Promise<void> {
    await this.#staged.remove(blob);
    await this.#cache.remove(blob);
    await this.remote.remove(blob);
  }

  list(): AsyncIterable<StoredObject> {
    return this.remote.list();
  }

  quarantine(key: string): Promise<void> {
    return this.remote.quarantine(key);
  }

  /** Uploads one that is still only here. False: it is not here. */
  async upload(blob: Blob): Promise<boolean> {
    if ((await this.#staged.inspect(blob, { content: true })) !== "good") return false;
    const content = Buffer.allocUnsafe(blob.bytes);
    this.#staged.read(blob, 0, content);
    await this.remote.put(blob, [content]);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#staged[Symbol.asyncDispose]();
    await this.#cache[Symbol.asyncDispose]();
    await this.remote[Symbol.asyncDispose]();
  }
}
