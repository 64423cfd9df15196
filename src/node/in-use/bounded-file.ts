import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { AnaxError } from "../../base/errors.ts";

/** A whole file of at most so many bytes; others wrote it, so that it is opened without waiting for anybody and read only if it is a file. */
export async function readBounded(path: string, bytesMax: number): Promise<Buffer> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const found = await file.stat();
  if (!found.isFile() || found.size > bytesMax)
    throw new AnaxError("disk.corrupt", { path, reason: "not a file of the expected size", bytesMax });
  return await file.readFile();
}

/** As `readBounded` for the files of the kernel, which do not say how long they are. */
export async function readKernelText(path: string, bytesMax: number): Promise<string> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of file.createReadStream({ autoClose: false, highWaterMark: 1024 * 1024 })) {
    bytes += (chunk as Buffer).length;
    if (bytes > bytesMax) throw new AnaxError("limit.exceeded", { path, bytesMax });
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString("utf8");
}
