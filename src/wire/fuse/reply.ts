import { writeLatin1 } from "../../base/latin1.ts";

export const OUT_HEADER_BYTES = 16;
export const ATTR_BYTES = 88;
export const ENTRY_BYTES = 40 + ATTR_BYTES;
const DIRENT_HEAD_BYTES = 24;

/** A node as the kernel sees it (`struct fuse_attr`). */
export interface FuseAttributes {
  readonly ino: number;
  readonly size: number;
  /** Of 512 bytes. */
  readonly blocks: number;
  readonly atimeSec: number;
  readonly atimeNsec: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly ctimeSec: number;
  readonly ctimeNsec: number;
  /** Type and permissions. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
}

/** How long the kernel may believe an answer without asking again. */
export interface Validity {
  readonly entryMs: number;
  readonly attrMs: number;
}

export interface FuseStatfs {
  readonly blocks: number;
  readonly blocksFree: number;
  readonly files: number;
  readonly filesFree: number;
  readonly blockBytes: number;
}

export interface FuseLock {
  readonly start: bigint;
  readonly end: bigint;
  readonly type: number;
  readonly pid: number;
}

/** What the kernel takes as a file's preferred size of reads and writes. */
const BLOCK_BYTES = 4096;

/**
 * Builds one answer at a time in one buffer: its header (`struct fuse_out_header`), then what the methods add, in the layouts of
 * include/uapi/linux/fuse.h. Who reads file content puts it right behind the header: `room`.
 */
export class FuseReply {
  readonly bytes: Buffer;
  readonly #view: DataView;
  /** Bytes so far, with the header. */
  length = OUT_HEADER_BYTES;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  clear(): void {
    this.length = OUT_HEADER_BYTES;
  }

  /** Completes it as an answer to that request; with an errno, nothing but that is answered. Returns what is to be written. */
  finish(unique: number, errno: number): number {
    if (errno !== 0) this.length = OUT_HEADER_BYTES;
    const view = this.#view;
    view.setUint32(0, this.length, true);
    view.setInt32(4, -errno, true);
    view.setUint32(8, unique >>> 0, true);
    view.setUint32(12, Math.floor(unique / 2 ** 32), true);
    return this.length;
  }

  /** So many bytes behind what is there; they count only after `advance`. */
  room(length: number): Buffer {
    return this.bytes.subarray(this.length, this.length + length);
  }

  advance(length: number): void {
    this.length += length;
  }

  u32(value: number): void {
    this.#view.setUint32(this.length, value, true);
    this.length += 4;
  }

  u64(value: number): void {
    this.#put64(this.length, value);
    this.length += 8;
  }

  put(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** One byte for each character. */
  text(text: string): void {
    this.length += writeLatin1(this.bytes, text, this.length);
  }

  /** `struct fuse_entry_out`. A node id of 0 says for so long that there is no such name. */
  entry(nodeId: number, generation: number, attributes: FuseAttributes | undefined, valid: Validity): void {
    const at = this.length;
    this.#put64(at, nodeId);
    this.#put64(at + 8, generation);
    this.#putValidity(at + 16, at + 32, valid.entryMs);
    this.#putValidity(at + 24, at + 36, valid.attrMs);
    if (attributes === undefined) this.bytes.fill(0, at + 40, at + ENTRY_BYTES);
    else this.#putAttributes(at + 40, attributes);
    this.length = at + ENTRY_BYTES;
  }

  /** `struct fuse_attr_out`. */
  attributes(attributes: FuseAttributes, valid: Validity): void {
    const at = this.length;
    this.#putValidity(at, at + 8, valid.attrMs);
    this.#view.setUint32(at + 12, 0, true);
    this.#putAttributes(at + 16, attributes);
    this.length = at + 16 + ATTR_BYTES;
  }

  /** `struct fuse_open_out`. */
  opened(fh: number, flags: number): void {
    this.u64(fh);
    this.u32(flags);
    this.u32(0);
  }

  /** `struct fuse_statfs_out`. */
  statfs(statfs: FuseStatfs): void {
    this.u64(statfs.blocks);
    this.u64(statfs.blocksFree);
    this.u64(statfs.blocksFree);
    this.u64(statfs.files);
    this.u64(statfs.filesFree);
    this.u32(statfs.blockBytes);
    this.u32(255); // longest name
    this.u32(statfs.blockBytes);
    this.bytes.fill(0, this.length, this.length + 28);
    this.length += 28;
  }

  /** `struct fuse_lk_out`. */
  lock(lock: FuseLock): void {
    this.#view.setBigUint64(this.length, lock.start, true);
    this.#view.setBigUint64(this.length + 8, lock.end, true);
    this.length += 16;
    this.u32(lock.type);
    this.u32(lock.pid);
  }

  /** One entry of READDIR, `struct fuse_dirent`; `next` is the offset from which a reader goes on behind it. False where it does not fit. */
  dirent(name: string, ino: number, mode: number, next: number, limit: number): boolean {
    if (this.length + direntBytes(name.length) > limit) return false;
    this.u64(ino);
    this.u64(next);
    this.u32(name.length);
    this.u32((mode >>> 12) & 0o17);
    this.text(name);
    while (this.length % 8 !== 0) this.bytes[this.length++] = 0;
    return true;
  }

  /** True where an entry with this name and attributes fits into READDIRPLUS (`struct fuse_direntplus`). */
  fitsDirentPlus(name: string, limit: number): boolean {
    return this.length + ENTRY_BYTES + direntBytes(name.length) <= limit;
  }

  #putValidity(secondsAt: number, nanosecondsAt: number, ms: number): void {
    this.#put64(secondsAt, Math.floor(ms / 1000));
    this.#view.setUint32(nanosecondsAt, (ms % 1000) * 1_000_000, true);
  }

  #putAttributes(at: number, a: FuseAttributes): void {
    const view = this.#view;
    this.#put64(at, a.ino);
    this.#put64(at + 8, a.size);
    this.#put64(at + 16, a.blocks);
    this.#put64(at + 24, a.atimeSec);
    this.#put64(at + 32, a.mtimeSec);
    this.#put64(at + 40, a.ctimeSec);
    view.setUint32(at + 48, a.atimeNsec, true);
    view.setUint32(at + 52, a.mtimeNsec, true);
    view.setUint32(at + 56, a.ctimeNsec, true);
    view.setUint32(at + 60, a.mode, true);
    view.setUint32(at + 64, a.nlink, true);
    view.setUint32(at + 68, a.uid, true);
    view.setUint32(at + 72, a.gid, true);
    view.setUint32(at + 76, a.rdev, true);
    view.setUint32(at + 80, BLOCK_BYTES, true);
    view.setUint32(at + 84, 0, true);
  }

  /** Two's complement for what is negative: times before 1970. */
  #put64(at: number, value: number): void {
    this.#view.setUint32(at, value >>> 0, true);
    this.#view.setInt32(at + 4, Math.floor(value / 2 ** 32), true);
  }
}

const direntBytes = (nameBytes: number): number => Math.ceil((DIRENT_HEAD_BYTES + nameBytes) / 8) * 8;
