import { FUSE_MAJOR, FUSE_MINOR, FUSE_MINOR_MIN, INIT_BIT, type InitFlag } from "./protocol.ts";
import type { FuseReply } from "./reply.ts";
import { FuseError, type FuseRequest } from "./request.ts";

/** What the kernel offers (`struct fuse_init_in`). */
export interface InitIn {
  readonly major: number;
  readonly minor: number;
  readonly readaheadBytes: number;
  readonly flags: ReadonlySet<InitFlag>;
}

/** What is agreed upon (`struct fuse_init_out`). */
export interface InitOut {
  readonly minor: number;
  readonly readaheadBytes: number;
  readonly flags: ReadonlySet<InitFlag>;
  readonly writeBytesMax: number;
  readonly backgroundMax: number;
  /** After that long without an answer the kernel gives the whole connection up; 0: never. */
  readonly requestTimeoutSeconds: number;
}

const PAGE_BYTES = 4096;
const FLAGS = Object.keys(INIT_BIT) as readonly InitFlag[];

/** Throws FuseError EPROTO where the kernel speaks another major version, or one too old. */
export function initIn(request: FuseRequest): InitIn {
  const major = request.u32(0);
  const minor = request.u32(4);
  if (major < FUSE_MAJOR || (major === FUSE_MAJOR && minor < FUSE_MINOR_MIN)) throw new FuseError("EPROTO");
  const low = request.u32(12);
  const extended = (low & (1 << INIT_BIT.initExt)) !== 0;
  const high = extended ? request.u32(16) : 0;
  const offered = (flag: InitFlag): boolean => {
    const bit = INIT_BIT[flag];
    return ((bit < 32 ? low >>> bit : high >>> (bit - 32)) & 1) === 1;
  };
  return { major, minor: Math.min(minor, FUSE_MINOR), readaheadBytes: request.u32(8), flags: new Set(FLAGS.filter(offered)) };
}

/** A kernel that is newer than our major version asks again when it is told ours. */
export function putInit(reply: FuseReply, out: InitOut): void {
  let [low, high] = [0, 0];
  for (const flag of out.flags) {
    const bit = INIT_BIT[flag];
    if (bit < 32) low |= 1 << bit;
    else high |= 1 << (bit - 32);
  }
  const pages = Math.ceil(out.writeBytesMax / PAGE_BYTES);
  reply.u32(FUSE_MAJOR);
  reply.u32(out.minor);
  reply.u32(out.readaheadBytes);
  reply.u32(low >>> 0);
  reply.u32(out.backgroundMax | (Math.ceil(out.backgroundMax * 0.75) << 16)); // congestion_threshold above it
  reply.u32(out.writeBytesMax);
  reply.u32(1); // times are exact to the nanosecond
  reply.u32(pages); // map_alignment above it stays 0
  reply.u32(high >>> 0);
  reply.u32(0); // max_stack_depth: nothing passes through
  reply.u32(out.requestTimeoutSeconds);
  reply.bytes.fill(0, reply.length, reply.length + 20);
  reply.length += 20;
}
