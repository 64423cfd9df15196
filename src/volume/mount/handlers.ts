import { forgets } from "../../wire/fuse/bodies.ts";
import { ERRNO } from "../../wire/fuse/errno.ts";
import { initIn, putInit } from "../../wire/fuse/init.ts";
import { OPCODE, type InitFlag, type OpName } from "../../wire/fuse/protocol.ts";
import { andThen } from "./answer.ts";
import * as content from "./content-handlers.ts";
import * as directory from "./directory-handlers.ts";
import * as lock from "./lock-handlers.ts";
import * as name from "./name-handlers.ts";
import { NO_REPLY, type Handler } from "./served-mount.ts";
import * as xattr from "./xattr-handlers.ts";

/** Largest read or write in one request: what the kernel allows without further settings (fs.fuse.max_pages_limit). */
export const IO_BYTES_MAX = 1024 * 1024;
/** Requests that the kernel lets go on in the background, such as read ahead. */
const BACKGROUND_MAX = 64;
const READ_AHEAD_BYTES_MAX = 4 * 1024 * 1024;

/** What we want of the kernel when it has it. Access control lists are not among it, nor passing `.` and `..` on for NFS. */
const WANTED: readonly InitFlag[] = [
  "asyncRead",
  "posixLocks",
  "atomicOTrunc",
  "bigWrites",
  "flockLocks",
  "doReaddirplus",
  "readdirplusAuto",
  "asyncDio",
  "parallelDirops",
  "abortError",
  "maxPages",
  "cacheSymlinks",
  "handleKillprivV2",
  "initExt",
  "directIoAllowMmap",
];

const init: Handler = (mount, request, reply) => {
  const offered = initIn(request);
  const { writebackCache, requestTimeoutSeconds } = mount.settings;
  const wanted: InitFlag[] = [...WANTED];
  if (writebackCache) wanted.push("writebackCache");
  if (requestTimeoutSeconds > 0) wanted.push("requestTimeout");
  const flags = new Set(wanted.filter((flag) => offered.flags.has(flag)));
  mount.state.set("directIo", flags.has("directIoAllowMmap") ? 1 : 0);
  putInit(reply, {
    minor: offered.minor,
    readaheadBytes: Math.max(offered.readaheadBytes, READ_AHEAD_BYTES_MAX),
    flags,
    writeBytesMax: IO_BYTES_MAX,
    backgroundMax: BACKGROUND_MAX,
    requestTimeoutSeconds: flags.has("requestTimeout") ? requestTimeoutSeconds : 0,
  });
  return 0;
};

const forget: Handler = (mount, request) => {
  mount.known.forget(request.nodeId, request.u64(0));
  return NO_REPLY;
};

const batchForget: Handler = (mount, request) => {
  forgets(request, (nodeId, lookups) => mount.known.forget(nodeId, lookups));
  return NO_REPLY;
};

const interrupt: Handler = (mount, request) => {
  mount.interrupt(request.u64(0));
  return NO_REPLY;
};

const BLOCK_BYTES = 4096;
/** Shown where a volume has no limit. */
const UNLIMITED_BYTES = 2 ** 50;
const UNLIMITED_INODES = 2 ** 32;

const statfs: Handler = (mount, _request, reply) =>
  andThen(mount.verbs.statfs(), ({ capacityBytes, usedBytes, inodesMax, usedInodes }) => {
    const blocks = Math.floor((capacityBytes || UNLIMITED_BYTES) / BLOCK_BYTES);
    const files = inodesMax || UNLIMITED_INODES;
    reply.statfs({
      blocks,
      blocksFree: Math.max(0, blocks - Math.ceil(usedBytes / BLOCK_BYTES)),
      files,
      filesFree: Math.max(0, files - usedInodes),
      blockBytes: BLOCK_BYTES,
    });
    return 0;
  });

/** Nobody else needs to be asked: the kernel checks permissions by itself (default_permissions), and never asks again after this. */
const access: Handler = () => ERRNO.ENOSYS;

const HANDLED: Partial<Readonly<Record<OpName, Handler>>> = {
  init,
  forget,
  batchForget,
  interrupt,
  destroy: () => 0,
  statfs,
  access,
  syncfs: (mount) => andThen(mount.files.writeBack(0), (outcome) => (outcome === 0 ? andThen(mount.verbs.settle(true), () => 0) : outcome)),
  ...pick(name, "lookup", "mkdir", "mknod", "symlink", "create", "link", "unlink", "rmdir", "rename", "rename2", "readlink", "getattr"),
  ...pick(content, "open", "read", "write", "flush", "release", "fsync", "fallocate", "lseek", "copyFileRange", "setattr"),
  ...pick(directory, "opendir", "releasedir", "fsyncdir", "readdir", "readdirplus"),
  ...pick(xattr, "getxattr", "listxattr", "setxattr", "removexattr"),
  ...pick(lock, "getlk", "setlk", "setlkw"),
};

/** By the number of the request; what is missing is answered with ENOSYS, which the kernel remembers. */
export const HANDLERS: readonly (Handler | undefined)[] = (() => {
  const table: (Handler | undefined)[] = [];
  for (const [op, handler] of Object.entries(HANDLED)) table[OPCODE[op as OpName]] = handler;
  return table;
})();

/** Requests that change something: what they get from a volume that may only be read is EROFS. */
export const CHANGES: ReadonlySet<number> = new Set(
  (
    [
      "setattr",
      "symlink",
      "mknod",
      "mkdir",
      "unlink",
      "rmdir",
      "rename",
      "rename2",
      "link",
      "write",
      "create",
      "fallocate",
      "copyFileRange",
      "setxattr",
      "removexattr",
    ] satisfies OpName[]
  ).map((op) => OPCODE[op]),
);

/** Requests after which something may be there for others to see. */
export const SETTLES: ReadonlySet<number> = new Set([
  ...CHANGES,
  ...(["open", "flush", "release", "setlk", "setlkw"] satisfies OpName[]).map((op) => OPCODE[op]),
]);

/** Requests that end something: they succeed even where nothing else does. */
export const ENDS: ReadonlySet<number> = new Set((["release", "releasedir", "destroy"] satisfies OpName[]).map((op) => OPCODE[op]));

/** Requests about content: whoever wrote must learn that it is lost. */
export const CONTENT: ReadonlySet<number> = new Set(
  (["write", "flush", "fsync", "read", "fallocate", "copyFileRange", "fsyncdir"] satisfies OpName[]).map((op) => OPCODE[op]),
);

function pick<M extends Readonly<Record<string, unknown>>, K extends keyof M>(module: M, ...names: readonly K[]): Pick<M, K> {
  return Object.fromEntries(names.map((key) => [key, module[key]])) as Pick<M, K>; // the keys are those named
}
