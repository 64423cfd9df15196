import { ERRNO } from "../../wire/fuse/errno.ts";
import { createIn, mkdirIn, mknodIn, renameIn, symlinkIn, type NewNodeIn } from "../../wire/fuse/bodies.ts";
import type { FuseReply } from "../../wire/fuse/reply.ts";
import type { FuseRequest } from "../../wire/fuse/request.ts";
import { kindOfMode } from "../meta/attributes.ts";
import { failed, type Answer, type Attributes, type Errno, type FileKind, type NewNode } from "../meta/verbs.ts";
import { andThen } from "./answer.ts";
import { fileOpened } from "./content-handlers.ts";
import { putEntry, validityOf, type Handler, type ServedMount } from "./served-mount.ts";

const PERMISSIONS = 0o7777;

export const lookup: Handler = (mount, request, reply) =>
  andThen(mount.verbs.lookup(request.nodeId, request.entryName(0)), (found) => {
    if (!failed(found)) return putEntry(mount, reply, found);
    if (found !== ERRNO.ENOENT || mount.settings.negativeMs === 0 || mount.leases.shared) return found;
    reply.entry(0, 0, undefined, { entryMs: mount.settings.negativeMs, attrMs: 0 });
    return 0;
  });

export const mkdir: Handler = (mount, request, reply) => answerNew(mount, reply, made(mount, request, mkdirIn(request), "directory"));

export const mknod: Handler = (mount, request, reply) => {
  const node = mknodIn(request);
  const kind = kindOfMode(node.mode) ?? "file";
  return answerNew(mount, reply, made(mount, request, node, kind, { rdev: node.rdev }));
};

export const symlink: Handler = (mount, request, reply) => {
  const { name, target } = symlinkIn(request);
  return answerNew(mount, reply, made(mount, request, { name, mode: 0o777, umask: 0 }, "symlink", { target }));
};

export const create: Handler = (mount, request, reply) => {
  const node = createIn(request);
  const leased = mount.leases.shared; // it is open for writing, as a rule
  return andThen(made(mount, request, node, "file", { leased }), (attributes) => {
    if (failed(attributes)) return attributes;
    if (leased) mount.leases.made(attributes.ino);
    return andThen(mount.files.open(attributes.ino), (outcome) => {
      if (outcome !== 0) return outcome;
      putEntry(mount, reply, attributes);
      return fileOpened(mount, reply, { keepCache: true, flags: node.flags });
    });
  });
};

export const link: Handler = (mount, request, reply) =>
  answerNew(mount, reply, mount.verbs.link(request.u64(0), request.nodeId, request.entryName(8)));

export const unlink: Handler = (mount, request) => mount.verbs.unlink(request.nodeId, request.entryName(0));

export const rmdir: Handler = (mount, request) => mount.verbs.rmdir(request.nodeId, request.entryName(0));

export const rename: Handler = (mount, request) => renamed(mount, request, false);
export const rename2: Handler = (mount, request) => renamed(mount, request, true);

export const readlink: Handler = (mount, request, reply) =>
  andThen(mount.verbs.readlink(request.nodeId), (target) => {
    if (failed(target)) return target;
    reply.text(target);
    return 0;
  });

export const getattr: Handler = (mount, request, reply) =>
  andThen(mount.verbs.getattr(request.nodeId), (attributes) => {
    if (failed(attributes)) return attributes;
    reply.attributes(mount.files.current(attributes), validityOf(mount));
    return 0;
  });

function renamed(mount: ServedMount, request: FuseRequest, withFlags: boolean): Answer<number> {
  const { name, newParent, newName, flags } = renameIn(request, withFlags);
  return mount.verbs.rename(request.nodeId, name, newParent, newName, flags);
}

/** The kernel has applied the umask. */
function made(
  mount: ServedMount,
  request: FuseRequest,
  { name, mode }: NewNodeIn,
  kind: FileKind,
  more: Pick<NewNode, "rdev" | "target" | "leased"> = {},
): Answer<Attributes | Errno> {
  const { uid, gid } = request;
  return mount.verbs.create(request.nodeId, name, { kind, permissions: mode & PERMISSIONS, uid, gid, ...more });
}

function answerNew(mount: ServedMount, reply: FuseReply, answer: Answer<Attributes | Errno>): Answer<number> {
  return andThen(answer, (attributes) => (failed(attributes) ? attributes : putEntry(mount, reply, attributes)));
}
