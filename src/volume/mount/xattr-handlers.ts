import { setxattrIn } from "../../wire/fuse/bodies.ts";
import { ERRNO } from "../../wire/fuse/errno.ts";
import type { FuseReply } from "../../wire/fuse/reply.ts";
import { failed } from "../meta/verbs.ts";
import { andThen } from "./answer.ts";
import type { Handler } from "./served-mount.ts";

/** What other file systems keep in `system.` (access control lists) would have no effect here. */
const isForeign = (name: string): boolean => name.startsWith("system.");

export const getxattr: Handler = (mount, request, reply) => {
  const room = request.u32(0);
  const name = request.text(8);
  if (isForeign(name)) return ERRNO.EOPNOTSUPP;
  return andThen(mount.verbs.getxattr(request.nodeId, name), (value) => (failed(value) ? value : putSized(reply, value, room)));
};

export const listxattr: Handler = (mount, request, reply) => {
  const room = request.u32(0);
  return andThen(mount.verbs.listxattr(request.nodeId), (names) => {
    if (failed(names)) return names;
    const list = Buffer.from(names.map((name) => `${name}\0`).join(""), "latin1");
    return putSized(reply, list, room);
  });
};

export const setxattr: Handler = (mount, request) => {
  const { name, value, flags } = setxattrIn(request);
  mount.known.setBare(request.nodeId, false);
  return isForeign(name) ? ERRNO.EOPNOTSUPP : mount.verbs.setxattr(request.nodeId, name, Buffer.from(value), flags);
};

export const removexattr: Handler = (mount, request) => {
  const name = request.text(0);
  return isForeign(name) ? ERRNO.EOPNOTSUPP : mount.verbs.removexattr(request.nodeId, name);
};

/** Who has room for nothing asks for the size. */
function putSized(reply: FuseReply, value: Uint8Array, room: number): number {
  if (room === 0) {
    reply.u32(value.length);
    reply.u32(0);
    return 0;
  }
  if (value.length > room) return ERRNO.ERANGE;
  reply.put(value);
  return 0;
}
