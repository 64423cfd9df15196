import { closeSync, openSync, readSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { invariant } from "../../base/errors.ts";
import { hasherOf, type Hasher } from "../model/hasher.ts";
import type { DigestReply, DigestRequest } from "./digest-thread.ts";

// The thread that computes whole-content digests. It follows the finished front of each file by reading it back, mostly from
// the page cache, so that the digest is ready moments after the last piece. Files take turns, a slice each.

const READ_BYTES = 1024 * 1024;
const SLICE_BYTES = 8 * READ_BYTES;

interface Job {
  readonly key: number;
  readonly path: string;
  readonly hasher: Hasher;
  doneBytes: number;
  /** Bytes from the start that are known to be right. */
  frontBytes: number;
  /** The digest is wanted once this many bytes are done. */
  totalBytes: number | undefined;
}

invariant(parentPort !== null, "runs as a worker");
const port = parentPort;
const jobs = new Map<number, Job>();
const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
let turning = false;

port.on("message", (request: DigestRequest) => {
  handle(request);
  if (!turning) turn();
});

function handle(request: DigestRequest): void {
  if (request.kind === "stop") {
    jobs.delete(request.key);
    return;
  }
  const job = jobs.get(request.key) ?? newJob(request);
  jobs.set(request.key, job);
  job.frontBytes = Math.max(job.frontBytes, request.frontBytes);
  if (request.final) job.totalBytes = request.frontBytes;
}

const newJob = (request: DigestRequest & { readonly kind: "advance" }): Job => ({
  key: request.key,
  path: request.path,
  hasher: hasherOf(request.algorithm),
  doneBytes: 0,
  frontBytes: 0,
  totalBytes: undefined,
});

/** One slice for every job that has something to do; then messages get their chance. */
function turn(): void {
  turning = false;
  for (const job of jobs.values()) {
    try {
      if (job.doneBytes < job.frontBytes) slice(job);
      if (job.totalBytes !== undefined && job.doneBytes >= job.totalBytes)
        end(job, { kind: "digest", key: job.key, value: job.hasher.value() });
    } catch (error) {
      end(job, { kind: "failed", key: job.key, reason: String(error) });
    }
  }
  for (const job of jobs.values()) turning ||= job.doneBytes < job.frontBytes;
  if (turning) setImmediate(turn);
}

function slice(job: Job): void {
  const fd = openSync(job.path, "r"); // for this slice only: many tasks may be under way, and descriptors are few
  try {
    const untilBytes = Math.min(job.frontBytes, job.doneBytes + SLICE_BYTES);
    while (job.doneBytes < untilBytes) {
      const count = readSync(fd, buffer, 0, Math.min(READ_BYTES, untilBytes - job.doneBytes), job.doneBytes);
      if (count === 0) throw new Error("the file is shorter than its finished pieces");
      job.hasher.update(buffer.subarray(0, count));
      job.doneBytes += count;
    }
  } finally {
    closeSync(fd);
  }
}

function end(job: Job, reply: DigestReply): void {
  jobs.delete(job.key);
  port.postMessage(reply);
}
