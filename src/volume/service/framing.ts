import type { ServerResponse } from "node:http";
import { Writable } from "node:stream";
import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";

/**
 * What a request and its answer consist of: lines of JSON, each ended by a line feed, empty ones without meaning; after a line `{"bytes": n}` of an answer come n bytes
 * that are content, then lines again.
 */
export type Part = { readonly line: string } | { readonly content: Buffer };

/** A caller that takes nothing for so long is gone. */
const HELD_MS = 600_000;
const LINE_FEED = 10;

/** Sends content as it is taken; what others write to the answer meanwhile comes in between. */
export function contentTo(response: ServerResponse, clock: Clock): Writable {
  const content = new Writable({
    highWaterMark: 256 * 1024,
    write(chunk: Buffer, _encoding, done) {
      const held = clock.timer(HELD_MS, () => void response.destroy(new AnaxError("socket.closed", { reason: "nobody takes the answer" })));
      response.write(`{"bytes":${chunk.length}}\n`);
      response.write(chunk, (error) => {
        held[Symbol.dispose]();
        done(error);
      });
    },
  });
  content.on("error", () => undefined); // whoever writes hears of it
  response.once("close", () => !content.writableFinished && void content.destroy(new AnaxError("socket.closed")));
  return content;
}

/** The parts of an answer. A line that is longer than that throws `input.invalid`. */
export async function* partsOf(chunks: AsyncIterable<Buffer>, lineBytesMax: number): AsyncGenerator<Part> {
  let begun: Buffer[] = [];
  let begunBytes = 0;
  let contentBytes = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      if (contentBytes > 0) {
        const content = chunk.subarray(at, at + contentBytes);
        contentBytes -= content.length;
        at += content.length;
        yield { content };
        continue;
      }
      const end = chunk.indexOf(LINE_FEED, at);
      const piece = chunk.subarray(at, end === -1 ? chunk.length : end);
      begunBytes += piece.length;
      if (begunBytes > lineBytesMax) throw new AnaxError("input.invalid", { reason: "a line is too long", bytesMax: lineBytesMax });
      begun.push(piece);
      if (end === -1) break;
      at = end + 1;
      const line = Buffer.concat(begun).toString();
      [begun, begunBytes] = [[], 0];
      const announced = /^\{"bytes":(?<bytes>\d{1,15})\}$/.exec(line)?.groups?.["bytes"];
      if (announced !== undefined) contentBytes = Number(announced);
      else if (line !== "") yield { line };
    }
  }
}
