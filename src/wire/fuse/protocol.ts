/**
 * Numbers of the FUSE kernel protocol, version 7, from the kernel's include/uapi/linux/fuse.h. Up to minor version 45;
 * a kernel that knows less says so in INIT.
 */
export const FUSE_MAJOR = 7;
export const FUSE_MINOR = 45;

/** Older kernels have no directories with attributes, no `rename` with flags and no big requests: not worth the code. */
export const FUSE_MINOR_MIN = 31;

export const OPCODE = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  getlk: 31,
  setlk: 32,
  setlkw: 33,
  access: 34,
  create: 35,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  fallocate: 43,
  readdirplus: 44,
  rename2: 45,
  lseek: 46,
  copyFileRange: 47,
  syncfs: 50,
  tmpfile: 51,
} as const;

export type OpName = keyof typeof OPCODE;

/** Flags of INIT by the number of their bit; from 32 on they travel in `flags2`. */
export const INIT_BIT = {
  asyncRead: 0,
  posixLocks: 1,
  atomicOTrunc: 3,
  exportSupport: 4,
  bigWrites: 5,
  dontMask: 6,
  flockLocks: 10,
  autoInvalData: 12,
  doReaddirplus: 13,
  readdirplusAuto: 14,
  asyncDio: 15,
  writebackCache: 16,
  parallelDirops: 18,
  handleKillpriv: 19,
  posixAcl: 20,
  abortError: 21,
  maxPages: 22,
  cacheSymlinks: 23,
  explicitInvalData: 25,
  handleKillprivV2: 28,
  setxattrExt: 29,
  initExt: 30,
  hasExpireOnly: 35,
  directIoAllowMmap: 36,
  requestTimeout: 42,
} as const;

export type InitFlag = keyof typeof INIT_BIT;

/** `valid` of SETATTR. */
export const FATTR = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  atime: 1 << 4,
  mtime: 1 << 5,
  fh: 1 << 6,
  atimeNow: 1 << 7,
  mtimeNow: 1 << 8,
  ctime: 1 << 10,
  killSuidgid: 1 << 11,
} as const;

/** What an answer to OPEN asks of the kernel. */
export const FOPEN = { directIo: 1 << 0, keepCache: 1 << 1, cacheDir: 1 << 3, noflush: 1 << 5, parallelDirectWrites: 1 << 6 } as const;

export const RELEASE_FLOCK_UNLOCK = 1 << 1;
export const LK_FLOCK = 1 << 0;
/** Pages that a program has mapped and changed. */
export const WRITE_CACHE = 1 << 0;
export const WRITE_KILL_SUIDGID = 1 << 2;
export const OPEN_KILL_SUIDGID = 1 << 0;

/** `code` of a message to the kernel that answers nothing. */
export const NOTIFY = { invalInode: 2, invalEntry: 3, delete: 6 } as const;

/** Open flags, lock types and the like as Linux has them on x86-64 and arm64. */
export const LINUX = {
  oAccessMode: 0o3,
  oWronly: 0o1,
  oRdwr: 0o2,
  oTrunc: 0o1000,
  oAppend: 0o2000,
  oSync: 0o4_010_000,
  oDsync: 0o10_000,
  fRdlck: 0,
  fWrlck: 1,
  fUnlck: 2,
  seekData: 3,
  seekHole: 4,
  renameNoreplace: 1,
  renameExchange: 2,
  xattrCreate: 1,
  xattrReplace: 2,
  falloclKeepSize: 1,
  fallocPunchHole: 2,
  fallocZeroRange: 16,
} as const;

/** Type bits of the mode of a directory. */
export const S_IFDIR = 0o040_000;
