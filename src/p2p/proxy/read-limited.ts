import type { IncomingMessage } from "node:http";
import { AnaxError } from "../../base/errors.ts";

/** A whole body of at most `bytesMax`; a longer one throws `limit.exceeded`, one that breaks off `source.truncated`. */
export async function readLimited(reply: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of reply as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > bytesMax) throw new AnaxError("limit.exceeded", { bytesMax });
      chunks.push(chunk);
    }
  } catch (thrown) {
    if (thrown instanceof AnaxError) throw thrown;
    throw new AnaxError(
      "source.truncated",
      { bytes, reason: thrown instanceof Error ? thrown.message : String(thrown) },
      { cause: thrown },
    );
  }
  return Buffer.concat(chunks);
}
