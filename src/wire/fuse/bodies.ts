import type { FuseRequest } from "./request.ts";

/** What requests say behind their header, in the layouts of include/uapi/linux/fuse.h. All throw FuseError EINVAL where the request is too short. */

/** READ, READDIR and READDIRPLUS (`struct fuse_read_in`). */
export interface ReadIn {
  readonly fh: number;
  readonly offset: number;
  readonly size: number;
  /** Open flags of the file. */
  readonly flags: number;
}

export const readIn = (request: FuseRequest): ReadIn => ({
  fh: request.u64(0),
  offset: request.u64(8),
  size: request.u32(16),
  flags: request.u32(32),
});

export interface WriteIn extends ReadIn {
  readonly writeFlags: number;
  /** The bytes to be written; valid until the next request. */
  readonly data: Buffer;
}

/** How much a write brings. */
export const writeBytesIn = (request: FuseRequest): number => request.u32(16);

export function writeIn(request: FuseRequest): WriteIn {
  const size = writeBytesIn(request);
  return {
    fh: request.u64(0),
    offset: request.u64(8),
    size,
    writeFlags: request.u32(20),
    flags: request.u32(32),
    data: request.data(40, size),
  };
}

export interface SetattrIn {
  /** Which of the others count; FATTR. */
  readonly valid: number;
  readonly fh: number;
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly atime: FuseTime;
  readonly mtime: FuseTime;
  readonly ctime: FuseTime;
}

export interface FuseTime {
  readonly sec: number;
  readonly nsec: number;
}

export const setattrIn = (request: FuseRequest): SetattrIn => ({
  valid: request.u32(0),
  fh: request.u64(8),
  size: request.u64(16),
  mode: request.u32(68),
  uid: request.u32(76),
  gid: request.u32(80),
  atime: { sec: request.i64(32), nsec: request.u32(56) },
  mtime: { sec: request.i64(40), nsec: request.u32(60) },
  ctime: { sec: request.i64(48), nsec: request.u32(64) },
});

export interface NewNodeIn {
  readonly name: string;
  readonly mode: number;
  readonly umask: number;
}

export const mkdirIn = (request: FuseRequest): NewNodeIn => ({
  mode: request.u32(0),
  umask: request.u32(4),
  name: request.entryName(8),
});

export const mknodIn = (request: FuseRequest): NewNodeIn & { readonly rdev: number } => ({
  mode: request.u32(0),
  rdev: request.u32(4),
  umask: request.u32(8),
  name: request.entryName(16),
});

/** CREATE, and TMPFILE whose name means nothing. */
export const createIn = (request: FuseRequest): NewNodeIn & { readonly flags: number } => ({
  flags: request.u32(0),
  mode: request.u32(4),
  umask: request.u32(8),
  name: request.entryName(16),
});

export interface RenameIn {
  readonly newParent: number;
  readonly flags: number;
  readonly name: string;
  readonly newName: string;
}

/** RENAME and, with flags, RENAME2. */
export function renameIn(request: FuseRequest, withFlags: boolean): RenameIn {
  const namesAt = withFlags ? 16 : 8;
  return {
    newParent: request.u64(0),
    flags: withFlags ? request.u32(8) : 0,
    name: request.entryName(namesAt),
    newName: request.entryName(request.textEnd(namesAt) + 1),
  };
}

export function symlinkIn(request: FuseRequest): { readonly name: string; readonly target: string } {
  return { name: request.entryName(0), target: request.text(request.textEnd(0) + 1) };
}

export interface SetxattrIn {
  readonly name: string;
  /** Valid until the next request. */
  readonly value: Buffer;
  readonly flags: number;
}

/** SETXATTR without FUSE_SETXATTR_EXT. */
export function setxattrIn(request: FuseRequest): SetxattrIn {
  const end = request.textEnd(8);
  return { name: request.text(8), value: request.data(end + 1, request.u32(0)), flags: request.u32(4) };
}

export interface LockIn {
  readonly fh: number;
  readonly owner: bigint;
  readonly start: bigint;
  /** The last byte, not the one behind it. */
  readonly end: bigint;
  readonly type: number;
  readonly pid: number;
  readonly flags: number;
}

export const lockIn = (request: FuseRequest): LockIn => ({
  fh: request.u64(0),
  owner: request.exact64(8),
  start: request.exact64(16),
  end: request.exact64(24),
  type: request.u32(32),
  pid: request.u32(36),
  flags: request.u32(40),
});

export interface ReleaseIn {
  readonly fh: number;
  readonly flags: number;
  readonly releaseFlags: number;
  readonly lockOwner: bigint;
}

export const releaseIn = (request: FuseRequest): ReleaseIn => ({
  fh: request.u64(0),
  flags: request.u32(8),
  releaseFlags: request.u32(12),
  lockOwner: request.exact64(16),
});

export const flushIn = (request: FuseRequest): { readonly fh: number; readonly lockOwner: bigint } => ({
  fh: request.u64(0),
  lockOwner: request.exact64(16),
});

export interface FallocateIn {
  readonly fh: number;
  readonly offset: number;
  readonly length: number;
  readonly mode: number;
}

export const fallocateIn = (request: FuseRequest): FallocateIn => ({
  fh: request.u64(0),
  offset: request.u64(8),
  length: request.u64(16),
  mode: request.u32(24),
});

export interface CopyIn {
  readonly fhIn: number;
  readonly offsetIn: number;
  readonly nodeIdOut: number;
  readonly fhOut: number;
  readonly offsetOut: number;
  readonly length: number;
}

export const copyIn = (request: FuseRequest): CopyIn => ({
  fhIn: request.u64(0),
  offsetIn: request.u64(8),
  nodeIdOut: request.u64(16),
  fhOut: request.u64(24),
  offsetOut: request.u64(32),
  length: request.u64(40),
});

/** Calls back for every node that BATCH_FORGET names, with how many lookups are forgotten. */
export function forgets(request: FuseRequest, forget: (nodeId: number, lookups: number) => void): void {
  const count = request.u32(0);
  for (let i = 0; i < count; i++) forget(request.u64(8 + i * 16), request.u64(16 + i * 16));
}
