import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { torrentOf } from "./torrent.ts";

const PIECE_BYTES = 65_536;
const sha1 = (bytes: Uint8Array): Buffer => createHash("sha1").update(bytes).digest();

for (const [title, bytes] of [
  ["whole pieces and a rest, over the chunks that are read", 3 * 1024 ** 2 + 5 * PIECE_BYTES + 7],
  ["whole pieces only", 2 * PIECE_BYTES],
  ["less than a piece", 10],
] as const)
  test(`a torrent of ${title} names the hash of each`, async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "torrent-"));
    t.after(() => rm(directory, { recursive: true }));
    const path = join(directory, "content");
    const data = Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 31 + (i >> 16)) & 255));
    await writeFile(path, data);
    const torrent = await torrentOf({ path, bytes, warmPath: undefined, sha256: "" }, "http://t/announce");
    const pieces = Array.from({ length: Math.ceil(bytes / PIECE_BYTES) }, (_, i) =>
      sha1(data.subarray(i * PIECE_BYTES, (i + 1) * PIECE_BYTES)),
    );
    const hashes = Buffer.concat(pieces);
    const info = Buffer.concat([
      Buffer.from(`d6:lengthi${bytes}e4:name4:copy12:piece lengthi${PIECE_BYTES}e6:pieces${hashes.length}:`),
      hashes,
      Buffer.from("e"),
    ]);
    assert.deepEqual(torrent.bytes, Buffer.concat([Buffer.from("d8:announce17:http://t/announce4:info"), info, Buffer.from("e")]));
    assert.deepEqual(torrent.infoHash, sha1(info));
  });
