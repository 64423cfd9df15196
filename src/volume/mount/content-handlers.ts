import {
  copyIn,
  fallocateIn,
  flushIn,
  readIn,
  releaseIn,
  setattrIn,
  writeIn,
  type FuseTime,
  type SetattrIn,
} from "../../wire/fuse/bodies.ts";
import { encodeInvalInode } from "../../wire/fuse/notify.ts";
import { FATTR, FOPEN, LINUX, OPEN_KILL_SUIDGID, RELEASE_FLOCK_UNLOCK, WRITE_CACHE, WRITE_KILL_SUIDGID } from "../../wire/fuse/protocol.ts";
import type { FuseReply } from "../../wire/fuse/reply.ts";
import { failed, isPending, type Answer, type Attributes, type AttributeChange, type Errno } from "../meta/verbs.ts";
import { andThen } from "./answer.ts";
import { validityOf, type Handler, type ServedMount } from "./served-mount.ts";

/** Copied within one request at most; who wants more asks again. */
const COPY_BYTES_MAX = 8 * 1024 * 1024;

const S_ISUID = 0o4000;
const S_ISGID = 0o2000;
const S_IXGRP = 0o010;
const PERMISSIONS = 0o7777;
const CAPABILITY = "security.capability";

export const open: Handler = (mount, request, reply) => {
  const [flags, openFlags] = [request.u32(0), request.u32(4)];
  const ino = request.nodeId;
  return andThen(mount.files.open(ino), (outcome) => {
    if (outcome !== 0) return outcome;
    return orClosed(mount, ino, () => {
      const kills = (openFlags & OPEN_KILL_SUIDGID) !== 0;
      const truncated = (flags & LINUX.oTrunc) === 0 ? 0 : mount.leases.write(ino, () => truncate(mount, ino, kills)); // more will be written
      return andThen(truncated, (error) => {
        if (error !== 0) return error;
        return andThen(mount.verbs.getattr(ino), (attributes) => {
          if (failed(attributes)) return attributes;
          const keepCache = mount.known.isCurrent(mount.files.current(attributes));
          // Size and times that the kernel still believes may be old, too. A message about attributes alone waits for nobody.
          if (!keepCache) mount.notify(encodeInvalInode(ino, -1, 0));
          return fileOpened(mount, reply, { keepCache, flags });
        });
      });
    });
  });
};

/** What follows an `open` of the file, which is undone where that fails: it may be tried again, from its beginning. */
function orClosed(mount: ServedMount, ino: number, work: () => Answer<number>): Answer<number> {
  const closed = (error: number): Answer<number> => (error === 0 ? 0 : andThen(mount.files.close(ino), () => error));
  const thrown = (reason: unknown): Answer<never> =>
    andThen(mount.files.close(ino), () => {
      throw reason;
    });
  try {
    const answer = work();
    return isPending(answer) ? answer.then(closed, thrown) : closed(answer);
  } catch (reason) {
    return thrown(reason);
  }
}

/**
 * The answer for a file that is open now. While others have the volume mounted, who writes does so past the kernel's cache: pages that a write keeps locked until it
 * is answered could not be dropped for others, who might be waiting for just that.
 */
export function fileOpened(
  mount: ServedMount,
  reply: FuseReply,
  { keepCache, flags }: { readonly keepCache: boolean; readonly flags: number },
): number {
  const writes = (flags & LINUX.oAccessMode) !== 0;
  const direct = writes && mount.leases.shared && mount.state.get("directIo") === 1;
  mount.state.add("openFiles", 1);
  reply.opened(0, (keepCache ? FOPEN.keepCache : 0) | (direct ? FOPEN.directIo : 0));
  return 0;
}

export const read: Handler = (mount, request, reply) => {
  const { offset, size } = readIn(request);
  return andThen(mount.files.read(request.nodeId, offset, reply.room(size)), (count) => {
    if (count < 0) return -count;
    reply.advance(count);
    return 0;
  });
};

export const write: Handler = (mount, request, reply) => {
  const { offset, data, size, writeFlags, flags } = writeIn(request);
  const ino = request.nodeId;
  const appends = (flags & LINUX.oAppend) !== 0 && (writeFlags & WRITE_CACHE) === 0 && mount.leases.shared;
  const written = mount.leases.write(ino, () =>
    andThen(appends ? endOf(mount, ino) : offset, (at) => (at < 0 ? -at : mount.files.write(ino, at, data))),
  );
  return andThen(written, (outcome) => {
    if (outcome !== 0) return outcome;
    changed(mount, ino);
    reply.u32(size);
    reply.u32(0);
    return (writeFlags & WRITE_KILL_SUIDGID) === 0 ? 0 : killPrivileges(mount, ino);
  });
};

/** The kernel's own idea of where a file ends may be older than what others have appended. Or below zero the negative error number. */
const endOf = (mount: ServedMount, ino: number): Answer<number> =>
  andThen(mount.verbs.getattr(ino), (attributes) => (failed(attributes) ? -attributes : mount.files.current(attributes).size));

/** POSIX locks of a process end with each of its descriptors of the file. */
export const flush: Handler = (mount, request) => {
  const { lockOwner } = flushIn(request);
  return andThen(mount.locks.releaseAll(request.nodeId, "posix", lockOwner), () => flushed(mount, request.nodeId));
};

/** What is written and closed outlives this process, and is seen by others. */
function flushed(mount: ServedMount, ino: number): Answer<number> {
  const wrote = mount.known.takeUnflushed(ino);
  return andThen(mount.files.flush(ino), (outcome) => (outcome === 0 && wrote ? andThen(mount.verbs.settle(false), () => 0) : outcome));
}

export const release: Handler = (mount, request) => {
  const { releaseFlags, lockOwner } = releaseIn(request);
  const ino = request.nodeId;
  mount.state.add("openFiles", -1);
  const unlocked = (releaseFlags & RELEASE_FLOCK_UNLOCK) === 0 ? 0 : mount.locks.releaseAll(ino, "flock", lockOwner);
  return andThen(unlocked, () => mount.files.close(ino));
};

export const fsync: Handler = (mount, request) => mount.files.fsync(request.nodeId);

export const fallocate: Handler = (mount, request) => {
  const { offset, length, mode } = fallocateIn(request);
  changed(mount, request.nodeId);
  return mount.files.fallocate(request.nodeId, offset, length, mode);
};

export const lseek: Handler = (mount, request, reply) =>
  andThen(mount.files.seek(request.nodeId, request.u64(8), request.u32(16)), (position) => {
    if (position < 0) return -position;
    reply.u64(position);
    return 0;
  });

export const copyFileRange: Handler = (mount, request, reply) => {
  const { offsetIn, nodeIdOut, offsetOut, length } = copyIn(request);
  const wanted = Math.min(length, COPY_BYTES_MAX);
  const piece = Buffer.allocUnsafe(Math.min(wanted, 1024 * 1024));
  changed(mount, nodeIdOut);
  const step = (done: number): Answer<number> => {
    const part = piece.subarray(0, Math.min(piece.length, wanted - done));
    if (part.length === 0) return finished(done, 0);
    return andThen(mount.files.read(request.nodeId, offsetIn + done, part), (count) => {
      if (count <= 0) return finished(done, -count);
      const copied = mount.leases.write(nodeIdOut, () => mount.files.write(nodeIdOut, offsetOut + done, part.subarray(0, count)));
      return andThen(copied, (error) => (error === 0 ? step(done + count) : finished(done, error)));
    });
  };
  const finished = (done: number, error: number): number => {
    if (done === 0 && error !== 0) return error;
    reply.u32(done);
    reply.u32(0);
    return 0;
  };
  return step(0);
};

export const setattr: Handler = (mount, request, reply) => {
  const wanted = setattrIn(request);
  const ino = request.nodeId;
  return andThen(completed(mount, ino, changeOf(wanted), wanted.valid), (change) => {
    if (failed(change)) return change;
    if (change.size !== undefined) changed(mount, ino);
    mount.known.setBare(ino, false);
    return andThen(mount.files.setattr(ino, change), (attributes) => {
      if (failed(attributes)) return attributes;
      reply.attributes(mount.files.current(attributes), validityOf(mount));
      return 0;
    });
  });
};

function changeOf(wanted: SetattrIn): AttributeChange {
  const { valid, mode, uid, gid, size, atime, mtime, ctime } = wanted;
  const has = (flag: number): boolean => (valid & flag) !== 0;
  const time = (value: FuseTime, set: number, now: number): FuseTime | "now" | undefined =>
    has(now) ? "now" : has(set) ? value : undefined;
  const [newAtime, newMtime] = [time(atime, FATTR.atime, FATTR.atimeNow), time(mtime, FATTR.mtime, FATTR.mtimeNow)];
  return {
    ...(has(FATTR.mode) && { permissions: mode & PERMISSIONS }),
    ...(has(FATTR.uid) && { uid }),
    ...(has(FATTR.gid) && { gid }),
    ...(has(FATTR.size) && { size }),
    ...(newAtime !== undefined && { atime: newAtime }),
    ...(newMtime !== undefined && { mtime: newMtime }),
    ...(has(FATTR.ctime) && { ctime }),
  };
}

/** With FUSE_HANDLE_KILLPRIV_V2 it is for us to take setuid, setgid and capabilities from a file that gets another owner, or another size from who may not keep them. */
function completed(mount: ServedMount, ino: number, change: AttributeChange, valid: number): Answer<AttributeChange | Errno> {
  const owner = change.uid !== undefined || change.gid !== undefined;
  if (change.permissions !== undefined || !(owner || (valid & FATTR.killSuidgid) !== 0)) return change;
  return andThen(mount.verbs.getattr(ino), (attributes) => {
    if (failed(attributes)) return attributes;
    const permissions = withoutPrivileges(attributes);
    if (attributes.kind === "directory") return change;
    return andThen(mount.verbs.removexattr(ino, CAPABILITY), () => (permissions === undefined ? change : { ...change, permissions }));
  });
}

/** After a write by somebody who may not keep them. */
function killPrivileges(mount: ServedMount, ino: number): Answer<number> {
  if (mount.known.isBare(ino) && mount.leases.holds(ino)) return 0;
  return andThen(mount.verbs.getattr(ino), (attributes) => {
    if (failed(attributes)) return attributes;
    const permissions = withoutPrivileges(attributes);
    const chmod = permissions === undefined ? attributes : mount.files.setattr(ino, { permissions });
    return andThen(chmod, (outcome) =>
      failed(outcome) ? outcome : andThen(mount.verbs.removexattr(ino, CAPABILITY), () => bared(mount, ino)),
    );
  });
}

function bared(mount: ServedMount, ino: number): number {
  mount.known.setBare(ino, true);
  return 0;
}

/** Setgid without execution by the group stands for mandatory locking and stays. Undefined: nothing to be taken away. */
function withoutPrivileges({ mode }: Attributes): number | undefined {
  const gone = S_ISUID | ((mode & S_IXGRP) === 0 ? 0 : S_ISGID);
  return (mode & gone) === 0 ? undefined : mode & PERMISSIONS & ~gone;
}

function truncate(mount: ServedMount, ino: number, killsPrivileges: boolean): Answer<number> {
  changed(mount, ino);
  return andThen(mount.files.setattr(ino, { size: 0 }), (outcome) => {
    if (failed(outcome)) return outcome;
    return killsPrivileges ? killPrivileges(mount, ino) : 0;
  });
}

function changed(mount: ServedMount, ino: number): void {
  mount.known.changed(ino);
  mount.state.set("unwritten", 1);
}
