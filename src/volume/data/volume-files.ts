import type { Answer, Attributes, AttributeChange, Errno, Outcome } from "../meta/verbs.ts";

/**
 * Content of the files of one volume: reads and writes by inode, over verbs and blobs. One object for each mount; what is written and not yet committed belongs
 * to the inode, whoever opened it, and every read here sees it. Like the verbs, everything answers at once where metadata and data are local, and
 * by a promise otherwise; failures are error numbers (EIO also for content that does not match its digest), and `volume.not-exist` is thrown.
 *
 * What is promised (durability `local`): after `fsync` content and size survive a loss of power. After `flush` or `close`, and the `settle` of the verbs that ends
 * the turn (at latest 10 ms later), they survive the death of every process and are seen by every other mount; the disk has them some seconds later.
 * Before that they live in this process only, in a buffer of bounded size.
 */
export interface VolumeFiles extends AsyncDisposable {
  /** Calls `verbs.open`; every `open` needs its `close`. ENOENT, EISDIR. */
  open(ino: number): Answer<Outcome>;
  /** Fills `into` from `offset`; how many bytes that were (fewer only at the end of the file), or below zero the negative error number. */
  read(ino: number, offset: number, into: Uint8Array): Answer<number>;
  /** Takes all of `bytes` (copied: the caller may reuse them) or nothing. EFBIG, ENOSPC, EDQUOT, EROFS, EIO. Waits for the disk when the buffer is full. */
  write(ino: number, offset: number, bytes: Uint8Array): Answer<Outcome>;
  /** For each close(2) of a descriptor: commits what was written, and gives the file's lease back. Reports an earlier failure to write it, once. */
  flush(ino: number): Answer<Outcome>;
  /** Everything written, and the metadata of the file, to the disk to stay. */
  fsync(ino: number): Answer<Outcome>;
  /** The end of an `open`; commits, then calls `verbs.close`. */
  close(ino: number): Answer<Outcome>;

  /** Attributes as this mount's readers must see them: with size and mtime of what is not committed yet. For every answer that carries attributes. */
  current(attributes: Attributes): Attributes;
  /** `verbs.setattr` that also knows what is not committed. */
  setattr(ino: number, change: AttributeChange): Answer<Attributes | Errno>;
  /** fallocate(2): flags 0, KEEP_SIZE 1, PUNCH_HOLE|KEEP_SIZE 3, ZERO_RANGE 16, ZERO_RANGE|KEEP_SIZE 17; others EOPNOTSUPP. */
  fallocate(ino: number, offset: number, length: number, flags: number): Answer<Outcome>;
  /** SEEK_DATA (3) and SEEK_HOLE (4) of lseek(2): the position, or below zero the negative error number (ENXIO behind the end). */
  seek(ino: number, offset: number, whence: number): Answer<number>;

  /** Commits what was last written more than `olderThanMs` ago; a mount calls it each second with 5,000, and with 0 before it leaves. */
  writeBack(olderThanMs: number): Answer<Outcome>;
  /** Others want the file: commits what was written, and gives its lease back. What cannot be committed is lost; the next `flush` reports it. */
  release(ino: number): Answer<void>;
  /** Files with something that is not committed. */
  dirty(): readonly number[];
  /** The session was taken for dead: drops what is not committed, and lets the next `flush` of each file report it. */
  forsake(): void;

  /** For the record of a client that leaves: what would be lost now. */
  unwritten(): { readonly files: number; readonly bytes: number };
  /** Drops everything that is not committed, without writing: the volume is gone. Later calls answer EIO. */
  discard(): void;
}
