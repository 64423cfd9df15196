import { HEADER_BYTES, PIECE_KINDS, REQUEST_VALUE_BYTES, TAG_CLOSE, TASK_ID_BYTES, malformed, type PieceRequest } from "./codec.ts";

/** What a child says to a piece server. */
export type VortexRequest = ({ readonly type: "download" } & PieceRequest) | { readonly type: "close"; readonly id: number };

export interface RequestParser {
  /**
   * Takes the next bytes of the connection, as they came, and returns the requests that are now complete. After `close` nothing more is read.
   * Throws `vortex.malformed` as soon as a header or value is wrong, and from then on always: the connection has lost its framing.
   */
  feed(chunk: Uint8Array): readonly VortexRequest[];
}

/** Holds at most one packet (74 bytes) between calls, whatever is fed. */
export function createRequestParser(): RequestParser {
  const packet = Buffer.alloc(HEADER_BYTES + REQUEST_VALUE_BYTES);
  let held = 0;
  let state: "open" | "closed" | "broken" = "open";

  /** Moves bytes into the buffer, no further than the header or the packet they belong to; returns how many. */
  const fill = (chunk: Uint8Array): number => {
    const part = chunk.subarray(0, (held < HEADER_BYTES ? HEADER_BYTES : packet.length) - held);
    packet.set(part, held);
    held += part.length;
    return part.length;
  };

  /** The packet in the buffer once it is whole; its header is judged before its value arrives. */
  const take = (): VortexRequest | undefined => {
    if (held < HEADER_BYTES || held < HEADER_BYTES + valueBytesOf(packet)) return undefined;
    held = 0;
    return decode(packet);
  };

  const read = (chunk: Uint8Array): VortexRequest[] => {
    const requests: VortexRequest[] = [];
    for (let at = 0; at < chunk.length && state === "open";) {
      at += fill(chunk.subarray(at));
      const request = take();
      if (request !== undefined) requests.push(request);
      if (request?.type === "close") state = "closed";
    }
    return requests;
  };

  return {
    feed(chunk) {
      if (state === "broken") throw malformed("the connection was malformed before");
      try {
        return read(chunk);
      } catch (error) {
        state = "broken";
        throw error;
      }
    },
  };
}

function valueBytesOf(packet: Buffer): number {
  const tag = packet[1]!; // the header is there
  const valueBytes = packet.readUInt32BE(2);
  const expected = tag === TAG_CLOSE ? 0 : tag % 2 === 0 && tag / 2 < PIECE_KINDS.length ? REQUEST_VALUE_BYTES : undefined;
  if (expected === undefined) throw malformed("not the tag of a request", { tag });
  if (valueBytes !== expected) throw malformed("wrong length for the tag", { tag, valueBytes });
  return expected;
}

function decode(packet: Buffer): VortexRequest {
  const [id, tag] = [packet[0]!, packet[1]!]; // the packet is whole
  if (tag === TAG_CLOSE) return { type: "close", id };
  const taskId = packet.toString("latin1", HEADER_BYTES, HEADER_BYTES + TASK_ID_BYTES);
  if (!/^[0-9a-f]{64}$/.test(taskId)) throw malformed("a task id is 64 lower-case hexadecimal characters");
  return { type: "download", kind: PIECE_KINDS[tag / 2]!, id, taskId, pieceNumber: packet.readUInt32BE(HEADER_BYTES + TASK_ID_BYTES) };
}
