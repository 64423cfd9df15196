import { lockIn } from "../../wire/fuse/bodies.ts";
import { LINUX } from "../../wire/fuse/protocol.ts";
import { LOCK_END } from "../meta/locks.ts";
import { failed } from "../meta/verbs.ts";
import { andThen } from "./answer.ts";
import { NO_REPLY, type Handler } from "./served-mount.ts";

/** As far as the kernel counts. */
const OFFSET_MAX = 0x7fff_ffff_ffff_ffffn;

const TYPES = { read: LINUX.fRdlck, write: LINUX.fWrlck, unlock: LINUX.fUnlck } as const;

export const getlk: Handler = (mount, request, reply) =>
  andThen(mount.locks.get(request.nodeId, lockIn(request)), (range) => {
    if (failed(range)) return range;
    const end = range.end >= LOCK_END ? OFFSET_MAX : BigInt(range.end);
    reply.lock({ type: TYPES[range.type], start: BigInt(range.start), end, pid: range.pid });
    return 0;
  });

export const setlk: Handler = (mount, request) =>
  andThen(mount.locks.set(request.nodeId, lockIn(request), undefined), (outcome) => outcome ?? NO_REPLY);

export const setlkw: Handler = (mount, request) =>
  andThen(mount.locks.set(request.nodeId, lockIn(request), { unique: request.unique }), (outcome) => outcome ?? NO_REPLY);
