import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { realClock } from "../../base/clock.ts";
import { AnaxError, errorOf } from "../../base/errors.ts";
import { createRequestWait } from "../../disk/request-wait.ts";
import { andThen } from "./answer.ts";
import { openVolume } from "../lifecycle/open-volume.ts";
import { isPending, type Answer } from "../meta/verbs.ts";
import { ERRNO } from "../../wire/fuse/errno.ts";
import { writeSync } from "node:fs";
import { FuseServer } from "./fuse-server.ts";
import { KnownNodes } from "./known-nodes.ts";
import { MountCounts } from "./mount-counts.ts";
import { LockQueue } from "./lock-queue.ts";
import type { FromWorker, ToWorker, WorkerStart } from "./messages.ts";
import type { ServedMount } from "./served-mount.ts";
import { SharedState } from "./shared-state.ts";
import { WriteLeases } from "./write-leases.ts";

/** Content is committed at latest so long after it was written, and what waits for locks asks again as often. */
const WRITE_BACK_AGE_MS = 5000;
const ROUND_MS = 1000;

const start = workerData as WorkerStart; // given by mount-process.ts
const port = parentPort!; // it is a worker
const tell = (message: FromWorker): void => port.postMessage(message);

try {
  await serveMount();
} catch (thrown) {
  const error = errorOf(thrown);
  tell({ kind: "not-started", code: error.code, reason: error.message });
}
port.close();

async function serveMount(): Promise<void> {
  const { dataDir, volumeUuid, sessionId, peers, cacheDir } = start;
  const volume = await openVolume({
    dataDir,
    volumeUuid,
    sessionId,
    peers,
    cacheDir,
    reads: start.reads,
    onDamage: (ino, { code, message }) => tell({ kind: "damaged", ino, code, reason: message }),
  });
  const { verbs, files, leases } = volume;
  const state = new SharedState(start.shared);
  const counts = new MountCounts(start.counts);
  const known = new KnownNodes();
  let faultTold = false;
  let fenceTold = false;
  let notExistToldMs = Number.NEGATIVE_INFINITY;
  let roundMs = realClock.nowMs();
  const due: (() => void)[] = [];

  const server = new FuseServer({
    fd: start.fd,
    clock: realClock,
    operationTimeoutMs: start.operationTimeoutMs,
    counts,
    onTurn,
    wait: start.bell === undefined ? undefined : await createRequestWait(start.fd, start.bell),
    onFault(op, { code, message }) {
      if (faultTold) return;
      faultTold = true;
      tell({ kind: "fault", op, code, reason: message });
    },
    onWell() {
      faultTold = false;
      tell({ kind: "recovered" });
    },
    onLeased: (ino, session) => tell({ kind: "want", ino, session }),
    onNotExist({ details }) {
      const now = realClock.nowMs();
      if (now - notExistToldMs < ROUND_MS) return;
      notExistToldMs = now;
      tell({
        kind: "not-exist",
        wireCode: Number(details["wireCode"]),
        volumeUuid: String(details["volume"]),
        epoch: Number(details["epoch"]),
      });
    },
  });
  const locks = new LockQueue(verbs, state, (unique, errno) => server.answerLater(unique, errno));
  const settling = new Map<number, PromiseWithResolvers<void>>();
  let settleId = 0;
  const othersSettled = (): Promise<void> => {
    const waiting = Promise.withResolvers<void>();
    settling.set(++settleId, waiting);
    tell({ kind: "settle", id: settleId });
    return waiting.promise;
  };
  const writeLeases = new WriteLeases({ verbs, leases, files, state, onTaken: (ino) => known.setBare(ino, false), settled: othersSettled });
  writeLeases.share(start.others);
  const mount: ServedMount = {
    verbs,
    files,
    known,
    locks,
    leases: writeLeases,
    state,
    settings: start.settings,
    notify(message) {
      try {
        writeSync(start.fd, message);
      } catch {
        // the kernel does not know the node any more, or the mount has ended
      }
    },
    interrupt(unique) {
      if (!locks.interrupt(unique)) server.interrupt(unique);
    },
  };
  tell({ kind: "ready" });
  const reason = await server.serve(mount);
  const lost = fenceTold ? { files: 0, bytes: 0 } : await leave();
  tell({ kind: "ended", reason, lostFiles: lost.files, lostBytes: lost.bytes });

  function onTurn(nowMs: number): Answer<unknown> {
    if (state.get("fenced") === 1) return fence();
    const settled = state.get("settle") === 0 ? undefined : settle();
    const mail = state.get("mail") === 0 ? settled : andThen(settled, readMail);
    if (nowMs - roundMs < ROUND_MS) return mail;
    roundMs = nowMs;
    if (due.length > 0) insist(() => undefined);
    return andThen(mail, () => andThen(writtenBack(WRITE_BACK_AGE_MS), () => locks.retry()));
  }

  /** No request came for a while. */
  function settle(): Promise<void> {
    state.announce("settle", 0);
    return server.settle();
  }

  function fence(): void {
    if (fenceTold) return;
    fenceTold = true;
    const unwritten = files.unwritten();
    files.discard();
    locks.endAll(ERRNO.EIO);
    tell({ kind: "fenced", ...unwritten, openFiles: state.get("openFiles") });
  }

  function readMail(): Answer<unknown> {
    state.set("mail", 0);
    let work: Answer<unknown>;
    for (let mail = receiveMessageOnPort(port); mail !== undefined; mail = receiveMessageOnPort(port)) {
      const message = mail.message as ToWorker; // sent by mount-process.ts
      work = andThen(work, () => handle(message));
    }
    return work;
  }

  function handle(message: ToWorker): Answer<unknown> {
    switch (message.kind) {
      case "outdated":
        for (const ino of message.inos) known.outdated(ino);
        return tell({ kind: "answered", id: message.id, inos: message.everything ? known.allOutdated() : [] });
      case "share":
        return insist(() => {
          writeLeases.share(message.shared);
          tell({ kind: "answered", id: message.id, inos: [] });
        });
      case "evicted":
        return insist(() => {
          writeLeases.evicted();
          tell({ kind: "answered", id: message.id, inos: known.allOutdated() });
        });
      case "release":
        return void server.alongside(release(message.inos));
      case "free":
        return server.free();
      case "settled": {
        const waiting = settling.get(message.id);
        settling.delete(message.id);
        if (message.reason === undefined) return waiting?.resolve();
        return waiting?.reject(new AnaxError("volume.unreachable", { reason: message.reason }));
      }
      case "unlocked":
        return locks.retry(message.ino);
      case "flush":
        return andThen(writtenBack(0), (errno) => tell({ kind: "flushed", errno }));
    }
  }

  /** Others wait for it: what the metadata do not answer to now is tried again, in order. */
  function insist(work: () => void): void {
    due.push(work);
    try {
      for (; due.length > 0; due.shift()) due[0]!(); // there is one
    } catch (thrown) {
      server.report(thrown);
    }
  }

  async function release(inos: readonly number[]): Promise<void> {
    for (const ino of inos) await writeLeases.release(ino);
    await verbs.settle(false);
    tell({ kind: "released" });
  }

  /** Failures are kept for the files they concern, and told to who flushes or syncs them. */
  function writtenBack(olderThanMs: number): Answer<number> {
    try {
      const outcome = files.writeBack(olderThanMs);
      return isPending(outcome) ? outcome.then(noted, failedWith) : noted(outcome);
    } catch (thrown) {
      return failedWith(thrown);
    }
  }

  function failedWith(thrown: unknown): number {
    server.report(thrown);
    return ERRNO.EIO;
  }

  function noted(errno: number): number {
    const { bytes } = files.unwritten();
    state.set("unwritten", bytes > 0 ? 1 : 0);
    counts.set("dirtyBytes", bytes);
    counts.set("backlogBytes", volume.backlogBytes);
    return errno;
  }

  /** Commits what is left; what could not be is lost. */
  async function leave(): Promise<{ readonly files: number; readonly bytes: number }> {
    await writtenBack(0);
    const left = files.unwritten();
    try {
      await verbs.settle(true);
      await volume[Symbol.asyncDispose]();
    } catch (thrown) {
      server.report(thrown);
    }
    return left;
  }
}
