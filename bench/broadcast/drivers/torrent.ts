import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import type { Content } from "./driver.ts";

/** A torrent of one file, for the rivals that speak BitTorrent. */
export interface Torrent {
  readonly bytes: Buffer;
  /** What a tracker knows it by. */
  readonly infoHash: Buffer;
}

/** Small pieces, since a peer passes on whole ones only: larger ones made both rivals slower on every link that was tried. */
const PIECE_BYTES = 64 * 1024;

/** Every host calls its file so. */
export const TORRENT_FILE = "copy";

export async function torrentOf(content: Content, announce: string): Promise<Torrent> {
  const info = encode({
    length: content.bytes,
    name: TORRENT_FILE,
    "piece length": PIECE_BYTES,
    pieces: await pieceHashes(content.path, PIECE_BYTES),
  });
  return {
    bytes: Buffer.concat([Buffer.from(`d${text("announce")}${text(announce)}${text("info")}`), info, Buffer.from("e")]),
    infoHash: createHash("sha1").update(info).digest(),
  };
}

/** The SHA-1 of each piece, one after the other. */
async function pieceHashes(path: string, pieceBytes: number): Promise<Buffer> {
  const hashes: Buffer[] = [];
  let hash: Hash | undefined;
  let room = pieceBytes;
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    for (let rest = chunk as Buffer; rest.length > 0;) {
      const part = rest.subarray(0, room);
      hash = (hash ?? createHash("sha1")).update(part);
      rest = rest.subarray(part.length);
      room -= part.length;
      if (room > 0) continue;
      hashes.push(hash.digest());
      hash = undefined;
      room = pieceBytes;
    }
  }
  if (hash !== undefined) hashes.push(hash.digest());
  return Buffer.concat(hashes);
}

/** A dictionary whose keys are given in order, as the format wants them. */
function encode(values: Readonly<Record<string, number | string | Buffer>>): Buffer {
  const parts = Object.entries(values).flatMap(([key, value]) => [
    text(key),
    ...(typeof value === "number" ? [`i${value}e`] : typeof value === "string" ? [text(value)] : [`${value.length}:`, value]),
  ]);
  return Buffer.concat(["d", ...parts, "e"].map((part) => (typeof part === "string" ? Buffer.from(part) : part)));
}

const text = (value: string): string => `${Buffer.byteLength(value)}:${value}`;
