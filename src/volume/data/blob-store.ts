import type { Blob } from "../meta/extents.ts";
import type { Answer } from "../meta/verbs.ts";

/** A blob that was found where blobs lie. */
export interface StoredObject {
  readonly key: string;
  /** The blob that it can be, by its name; undefined for what is none of ours. */
  readonly blobId: number | undefined;
  readonly bytes: number;
}

/**
 * Where the objects of one volume lie, each written once under the name of its sha256 and its id, and never changed. Who calls has entered the blob into the ledger
 * before. Answers at once where the data are local. Throws `disk.full`, `disk.io`, `volume.unreachable`; reads throw `disk.corrupt` for what does not match its
 * digest, and `piece.not-found` for what is not there.
 */
export interface BlobStore extends AsyncDisposable {
  /** Stores the content, which `parts` make up; a repetition replaces an unfinished attempt. */
  put(blob: Blob, parts: readonly Uint8Array[]): Answer<void>;
  /** Makes what was put stay through a loss of power. */
  sync(blobs: readonly Blob[]): Answer<void>;
  /** Fills `into` with the content from `offset` on, all of it; content is checked against its digest before any of it is used. */
  read(blob: Blob, offset: number, into: Uint8Array): Answer<void>;
  /** Whether it is there in full length, and with `content`, whether it matches its digest. Throws only when that cannot be found out. */
  inspect(blob: Blob, look: { readonly content: boolean }): Promise<"good" | "missing" | "damaged">;
  /** Only for the collector, when the ledger says so. Nothing there is no failure. */
  remove(blob: Blob): Promise<void>;
  /** Everything that lies there. An error in the middle throws: an incomplete list must not look like a complete one. */
  list(): AsyncIterable<StoredObject>;
  /** Moves an object aside that is none of the ledger's; never deletes it. */
  quarantine(key: string): Promise<void>;
}

/** Blobs as `LocalFiles` needs them: everything answers at once, or throws `Awaiting`. Failures are those of `BlobStore`. */
export interface InlineBlobs extends AsyncDisposable {
  put(blob: Blob, parts: readonly Uint8Array[]): void;
  sync(blobs: readonly Blob[]): void;
  read(blob: Blob, offset: number, into: Uint8Array): void;
  /** They are about to become content of a file: they must be where that promises them to be. */
  beforeCommit(blobs: readonly Blob[]): void;
}

/** Name of a blob's object, without the place. */
export const objectNameOf = ({ sha256, id }: Pick<Blob, "sha256" | "id">): string => `${sha256}-${id}`;

/** Blobs with neighbouring ids, which are written at one time, share a directory, and so a flush of it. */
export const directoryOf = (id: number): string => String(Math.floor(id / IDS_PER_DIRECTORY));

const IDS_PER_DIRECTORY = 4096;

/** The id in the name of an object, if it is one. */
export function blobIdOf(name: string): number | undefined {
  const match = /^[0-9a-f]{64}-([1-9][0-9]{0,15})$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}
