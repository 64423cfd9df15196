import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { Piece } from "../../wire/grpc/gen/common/v2/common.ts";
import { DownloadTaskResponse } from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import { Delivered } from "./delivered.ts";

const CONTENT = Buffer.from("what was asked for");
const CUT = 10;

test("an output that a dead daemon delivered is told from any other file by its pieces", async () => {
  await using directory = await temporaryDirectory();
  const output = join(directory.path, "out");
  const piece = (number: number, bytes: Buffer) =>
    Piece.fromPartial({ number, offset: number * CUT, length: bytes.length, digest: `crc32:${crc32(bytes)}` });
  const [first, second] = [piece(0, CONTENT.subarray(0, CUT)), piece(1, CONTENT.subarray(CUT))];
  const delivered = new Delivered(output);
  delivered.hear(
    DownloadTaskResponse.fromPartial({
      response: { $case: "downloadTaskStartedResponse", value: { contentLength: CONTENT.length, pieces: [first] } },
    }),
  );
  delivered.hear(DownloadTaskResponse.fromPartial({ response: { $case: "downloadPieceFinishedResponse", value: { piece: second } } }));
  await writeFile(output, CONTENT);
  await delivered.check();
  for (const other of ["", "what was asked for.", "what was asked fOr", "What was asked for"]) {
    await writeFile(output, other);
    await assert.rejects(delivered.check(), { code: "output.exists" }, other);
  }
});
