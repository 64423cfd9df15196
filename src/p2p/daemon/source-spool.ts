import { rm } from "node:fs/promises";
import { closeDescriptor, openDescriptor, writeFully } from "../../disk/descriptor.ts";
import type { StoredTask } from "../pieces/types.ts";
import type { SourceBody } from "../source/types.ts";
import { inBlocks } from "./blocks.ts";
import type { SourceJob } from "./source-job.ts";
import type { SourcePace } from "./source-write.ts";
import { metaOf } from "./task-meta.ts";

/** Content whose length the source does not tell cannot be cut before its end: it goes to a file of its own, which becomes the task. */
export async function spoolSource(job: SourceJob, body: SourceBody, pace: SourcePace): Promise<StoredTask> {
  const path = job.store.spoolPath();
  try {
    const contentLength = await writeAll(path, body, pace);
    const facts = { contentLength, pieceLength: job.pieceLengthOf(contentLength), responseHeader: body.responseHeader };
    const stored = await job.store.adopt(metaOf(job.taskId, job.request, facts), path);
    job.onStored(stored, "adopted");
    for (let index = 0; index < stored.meta.pieceCount; index++) {
      const piece = stored.piece(index);
      if (piece !== undefined) job.onPiece(piece, 0);
    }
    return stored;
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

async function writeAll(path: string, body: SourceBody, pace: SourcePace): Promise<number> {
  const fd = await openDescriptor(path, "wx", 0o600);
  let bytes = 0;
  try {
    for await (const chunk of inBlocks(body.chunks, pace.blockBytes)) {
      await pace.pay(chunk.length);
      await writeFully(fd, chunk, bytes);
      bytes += chunk.length;
    }
  } finally {
    await closeDescriptor(fd);
  }
  return bytes;
}
