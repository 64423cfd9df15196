import { Worker } from "node:worker_threads";
import { AnaxError } from "../../base/errors.ts";
import { workerUrlOf } from "../../base/worker-url.ts";
import type { Digest } from "../model/piece.ts";
import { send } from "./workers.ts";

export type DigestRequest =
  | {
      readonly kind: "advance";
      readonly key: number;
      readonly path: string;
      readonly algorithm: Digest["algorithm"];
      /** Bytes from the start of the file that are finished. */
      readonly frontBytes: number;
      /** The front is the end: answer with the digest. */
      readonly final: boolean;
    }
  | { readonly kind: "stop"; readonly key: number };

export type DigestReply =
  | { readonly kind: "digest"; readonly key: number; readonly value: string }
  | { readonly kind: "failed"; readonly key: number; readonly reason: string };

interface Waiter {
  readonly resolve: (value: string) => void;
  readonly reject: (error: Error) => void;
}

/** One thread that computes whole-content digests for a store; started when first needed. */
export class DigestThread implements AsyncDisposable {
  #worker: Worker | undefined;
  #nextKey = 0;
  #closed = false;
  readonly #waiting = new Map<number, Waiter>();

  /** Starts to compute the digest of a file that is still being written from several places. */
  follow(path: string, algorithm: Digest["algorithm"]): FollowedDigest {
    const key = this.#nextKey++;
    let worker: Worker | undefined;
    const advance = (frontBytes: number, final: boolean): void => {
      if (this.#closed) return;
      worker = this.#started();
      send(worker, { kind: "advance", key, path, algorithm, frontBytes, final });
    };
    return {
      advance: (frontBytes) => advance(frontBytes, false),
      result: (totalBytes) =>
        new Promise((resolve, reject) => {
          if (this.#closed) return reject(stopped());
          // A thread that died took its state along; the new one reads the file from its start, as the key is new to it.
          this.#waiting.set(key, { resolve, reject });
          advance(totalBytes, true);
          this.#worker?.ref();
        }),
      stop: () => {
        this.#waiting.get(key)?.reject(stopped());
        this.#settle(key);
        if (worker !== undefined && worker === this.#worker) send(worker, { kind: "stop", key });
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#worker?.terminate();
    this.#onExit();
  }

  #started(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = new Worker(workerUrlOf("digest-worker", import.meta.url));
    worker.unref();
    worker.on("message", (reply: DigestReply) => this.#onReply(reply));
    worker.on("error", () => undefined); // its exit follows
    worker.on("exit", () => worker === this.#worker && this.#onExit());
    return (this.#worker = worker);
  }

  #onReply(reply: DigestReply): void {
    const waiter = this.#waiting.get(reply.key);
    this.#settle(reply.key);
    if (reply.kind === "digest") waiter?.resolve(reply.value);
    else waiter?.reject(new AnaxError("disk.io", { reason: reply.reason }));
  }

  #settle(key: number): void {
    this.#waiting.delete(key);
    if (this.#waiting.size === 0) this.#worker?.unref();
  }

  #onExit(): void {
    this.#worker = undefined;
    for (const waiter of this.#waiting.values()) waiter.reject(stopped());
    this.#waiting.clear();
  }
}

export interface FollowedDigest {
  /** So many bytes from the start are finished. */
  advance(frontBytes: number): void;
  /** The digest of the first `totalBytes`, all finished, in the form of `Digest.value`. Throws `disk.io`. Ends the following. */
  result(totalBytes: number): Promise<string>;
  /** Gives up; a result that is waited for is refused. */
  stop(): void;
}

const stopped = (): AnaxError => new AnaxError("download.cancelled", { reason: "the digest is not wanted any more" });
