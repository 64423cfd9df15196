import { readIn } from "../../wire/fuse/bodies.ts";
import { S_IFDIR } from "../../wire/fuse/protocol.ts";
import { ENTRY_BYTES, OUT_HEADER_BYTES, type FuseReply } from "../../wire/fuse/reply.ts";
import type { FuseRequest } from "../../wire/fuse/request.ts";
import { typeBitsOf } from "../meta/attributes.ts";
import { failed, ROOT_INO, type Answer, type DirectoryEntry } from "../meta/verbs.ts";
import { andThen } from "./answer.ts";
import { putEntry, type Handler, type ServedMount } from "./served-mount.ts";

/** Where a reader goes on behind `.` and `..`; the verbs' own cookies begin above. */
const AFTER_DOT = 1;
const AFTER_DOT_DOT = 2;

/** Entries asked for at once, whatever room the reader has. */
const ENTRIES_MAX = 1024;
const SHORT_NAME_BYTES = 8;

/** Cookies hold for any reader: there is nothing to be kept for an open directory. */
export const opendir: Handler = (_mount, _request, reply) => {
  reply.opened(0, 0);
  return 0;
};

export const releasedir: Handler = () => 0;

/** All of the metadata at once: the engine knows no smaller unit. */
export const fsyncdir: Handler = (mount) => andThen(mount.verbs.settle(true), () => 0);

export const readdir: Handler = (mount, request, reply) => listed(mount, request, reply, false);
export const readdirplus: Handler = (mount, request, reply) => listed(mount, request, reply, true);

function listed(mount: ServedMount, request: FuseRequest, reply: FuseReply, plus: boolean): Answer<number> {
  const { offset, size } = readIn(request);
  const limit = Math.min(OUT_HEADER_BYTES + size, reply.bytes.length);
  if (offset < AFTER_DOT && !putDot(reply, ".", request.nodeId, AFTER_DOT, limit, plus)) return 0;
  if (offset < AFTER_DOT_DOT && !putDot(reply, "..", ROOT_INO, AFTER_DOT_DOT, limit, plus)) return 0;
  const smallest = 24 + SHORT_NAME_BYTES + (plus ? ENTRY_BYTES : 0);
  const countMax = Math.min(ENTRIES_MAX, Math.ceil((limit - reply.length) / smallest));
  if (countMax <= 0) return 0;
  const cookie = offset <= AFTER_DOT_DOT ? 0 : offset;
  return andThen(mount.verbs.readdir(request.nodeId, cookie, countMax, plus), (entries) => {
    if (failed(entries)) return entries;
    for (const entry of entries) if (!putOne(mount, reply, entry, { limit, plus })) break;
    return 0;
  });
}

function putOne(
  mount: ServedMount,
  reply: FuseReply,
  { name, ino, kind, cookie, attributes }: DirectoryEntry,
  { limit, plus }: { readonly limit: number; readonly plus: boolean },
): boolean {
  if (plus && !reply.fitsDirentPlus(name, limit)) return false;
  if (attributes !== undefined) putEntry(mount, reply, attributes);
  else if (plus) putNothing(reply); // somebody else writes to it: whoever wants to know more asks for it
  return reply.dirent(name, ino, typeBitsOf(kind), cookie, limit);
}

/** The kernel takes no lookup from these two. */
function putDot(reply: FuseReply, name: string, ino: number, next: number, limit: number, plus: boolean): boolean {
  if (plus) {
    if (!reply.fitsDirentPlus(name, limit)) return false;
    putNothing(reply);
  }
  return reply.dirent(name, ino, S_IFDIR, next, limit);
}

const putNothing = (reply: FuseReply): void => reply.entry(0, 0, undefined, { entryMs: 0, attrMs: 0 });
