import { NOTIFY } from "./protocol.ts";
import { OUT_HEADER_BYTES } from "./reply.ts";

/** Messages to the kernel that answer nothing: their header has no request, and the code in place of the error. */

/** What is cached of a node's attributes is stale; with a range also its pages from `offset` on (length 0: all of them). A negative offset leaves pages alone. */
export function encodeInvalInode(nodeId: number, offset: number, length: number): Buffer {
  const message = headed(NOTIFY.invalInode, 24);
  message.writeBigUInt64LE(BigInt(nodeId), OUT_HEADER_BYTES);
  message.writeBigInt64LE(BigInt(offset), OUT_HEADER_BYTES + 8);
  message.writeBigInt64LE(BigInt(length), OUT_HEADER_BYTES + 16);
  return message;
}

function headed(code: number, bodyBytes: number): Buffer {
  const message = Buffer.alloc(OUT_HEADER_BYTES + bodyBytes);
  message.writeUInt32LE(message.length, 0);
  message.writeInt32LE(code, 4);
  return message;
}
