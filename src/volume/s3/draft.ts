import { createHash } from "node:crypto";
import { constants } from "node:os";
import type { ByteRange } from "../../wire/http/range.ts";
import { CHUNK_BYTES, INLINE_BYTES_MAX, type WrittenExtent } from "../meta/extents.ts";
import { failed, type Attributes } from "../meta/verbs.ts";
import type { Bucket } from "./bucket.ts";
import { createChecksum, type ChecksumName } from "./checksum.ts";
import { writeMeta, type ContentMark, type ObjectMeta } from "./object-meta.ts";
import { ownedLike } from "./tree.ts";
import { mustBeDone, valueOf } from "./s3-error.ts";

const { EIO } = constants.errno;

/** Content of a file that is looked at in one go. */
const SHARE_BYTES = CHUNK_BYTES;
const COPY_BYTES = 1024 * 1024;
const HELD_BYTES = 64 * 1024;

/** A file whose content is taken, in whatever volume. */
export interface Source {
  readonly bucket: Bucket;
  readonly ino: number;
}

/** What was computed of the content; undefined: nothing, and its ETag is no digest then. */
export type ContentSeal = Omit<ContentMark, "size" | "mtimeSec" | "mtimeNsec">;

/** A file that nobody sees yet: written in the gateway's own folder, and then moved to where it belongs, or gone. */
export class Draft implements AsyncDisposable {
  readonly ino: number;
  readonly #bucket: Bucket;
  readonly #folder: number;
  readonly #name: string;
  #size = 0;
  #moved = false;

  private constructor(bucket: Bucket, place: { readonly ino: number; readonly folder: number; readonly name: string }) {
    this.#bucket = bucket;
    this.ino = place.ino;
    this.#folder = place.folder;
    this.#name = place.name;
  }

  /** Throws S3Error. */
  static async create(bucket: Bucket): Promise<Draft> {
    const { verbs, files } = bucket;
    const folder = await bucket.workFolder("drafts");
    const name = bucket.newDraftName();
    const { ino } = valueOf(await verbs.create(folder, name, { kind: "file", permissions: 0o600, uid: 0, gid: 0 }));
    const draft = new Draft(bucket, { ino, folder, name });
    mustBeDone(await files.open(ino));
    return draft;
  }

  /** A draft of all that comes. What comes little is held until it is there, so that it is written in one go. Throws S3Error; nothing is left then. */
  static async of(bucket: Bucket, pieces: AsyncIterable<Uint8Array>): Promise<Draft> {
    await using scope = new AsyncDisposableStack();
    const held: Uint8Array[] = [];
    let heldBytes = 0;
    let draft: Draft | undefined;
    const begin = async (): Promise<Draft> => {
      const begun = scope.use(await Draft.create(bucket));
      for (const piece of held) await begun.append(piece);
      return begun;
    };
    for await (const piece of pieces) {
      heldBytes += piece.length;
      if (draft === undefined && heldBytes <= HELD_BYTES) held.push(piece);
      else {
        await (draft ??= await begin()).append(piece);
        await bucket.verbs.settle(false); // before it waits for more
      }
    }
    draft ??= await begin();
    scope.move();
    return draft;
  }

  get size(): number {
    return this.#size;
  }

  async append(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    mustBeDone(await this.#bucket.waited(this.#bucket.files.write(this.ino, this.#size, bytes)));
    this.#size += bytes.length;
  }

  /** Appends a part of another file, whose blobs both then have; what has none is copied. */
  async appendOf({ bucket, ino }: Source, offset: number, length: number): Promise<void> {
    const end = offset + length;
    for (let at = offset; at < end;) {
      const step = Math.min(SHARE_BYTES, end - at);
      const shared = bucket === this.#bucket && (await this.#share(ino, at, step));
      if (!shared) await this.#copy({ bucket, ino }, at, step);
      at += step;
      await this.#bucket.rest();
    }
  }

  /** The same by reading it, so that it is known what was appended. */
  async appendCounted(source: Source, { start, length }: ByteRange, checksum: ChecksumName | undefined): Promise<ContentSeal> {
    const md5 = createHash("md5");
    const digest = checksum && createChecksum(checksum);
    await this.#copy(source, start, length, (piece) => {
      md5.update(piece);
      digest?.update(piece);
    });
    const value = digest?.digest().toString("base64");
    return {
      etag: md5.digest("hex"),
      ...(checksum !== undefined && value !== undefined && { checksum: { name: checksum, value, type: "FULL_OBJECT" } }),
    };
  }

  /** Content and what is known of it, to the disk to stay; the attributes after it. */
  async seal(content: ContentSeal | undefined, meta: Omit<ObjectMeta, "content">): Promise<Attributes> {
    const { verbs, files } = this.#bucket;
    // What lies in the metadata becomes lasting with them.
    mustBeDone(await this.#bucket.waited(this.#size <= INLINE_BYTES_MAX ? files.flush(this.ino) : files.fsync(this.ino)));
    const attributes = valueOf(await verbs.getattr(this.ino));
    const { size, mtimeSec, mtimeNsec } = attributes;
    await writeMeta(verbs, this.ino, { ...meta, ...(content !== undefined && { content: { ...content, size, mtimeSec, mtimeNsec } }) });
    return attributes;
  }

  /** Error number; with `flags` as in `rename`. */
  async moveTo(parent: number, name: string, flags: number): Promise<number> {
    const { verbs } = this.#bucket;
    const like = await verbs.getattr(parent);
    if (failed(like)) return like;
    const owned = await verbs.setattr(this.ino, ownedLike(like, 0o666));
    if (failed(owned)) return owned;
    const outcome = await verbs.rename(this.#folder, this.#name, parent, name, flags);
    if (outcome === 0) this.#moved = true;
    return outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { verbs, files } = this.#bucket;
    try {
      if (!this.#moved) {
        await this.#bucket.waited(files.setattr(this.ino, { size: 0 })); // the trash keeps no content of what never was
        await verbs.unlink(this.#folder, this.#name);
      }
    } finally {
      await this.#bucket.waited(files.close(this.ino));
    }
  }

  async #share(source: number, offset: number, length: number): Promise<boolean> {
    const { verbs, files, clock } = this.#bucket;
    const map = valueOf(await verbs.extents(source, offset, length));
    if (map.inline !== undefined || map.extents.length === 0) return false;
    mustBeDone(await this.#bucket.waited(files.flush(this.ino)));
    const position = this.#size;
    const extents = map.extents.flatMap((extent): WrittenExtent[] => {
      const from = Math.max(extent.position, offset);
      const until = Math.min(extent.position + extent.length, offset + length);
      const at = position + from - offset;
      return atChunks({
        position: at,
        length: until - from,
        blobId: extent.blob.id,
        blobOffset: extent.blobOffset + from - extent.position,
      });
    });
    const mine = valueOf(await verbs.extents(this.ino, 0, 1));
    if (mine.inline !== undefined) return false; // what lies in the metadata would have to move first
    const answer = await verbs.commit(this.ino, { size: position + length, mtimeMs: clock.wallMs(), extents });
    if (answer === EIO) return false; // a blob was given up meanwhile
    valueOf(answer);
    this.#size = position + length;
    return true;
  }

  async #copy({ bucket, ino }: Source, offset: number, length: number, see?: (piece: Uint8Array) => void): Promise<void> {
    for (let done = 0; done < length;) {
      const piece = Buffer.allocUnsafe(Math.min(COPY_BYTES, length - done));
      const read = await this.#bucket.waited(bucket.files.read(ino, offset + done, piece));
      if (read <= 0) mustBeDone(read === 0 ? EIO : -read);
      see?.(piece.subarray(0, read));
      await this.append(piece.subarray(0, read));
      done += read;
      await this.#bucket.rest();
    }
  }
}

/** An extent ends where a chunk does. */
function atChunks({ position, length, blobId, blobOffset }: WrittenExtent): WrittenExtent[] {
  const room = CHUNK_BYTES - (position % CHUNK_BYTES);
  if (length <= room) return [{ position, length, blobId, blobOffset }];
  return [
    { position, length: room, blobId, blobOffset },
    { position: position + room, length: length - room, blobId, blobOffset: blobOffset + room },
  ];
}
