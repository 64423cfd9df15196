import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from "node:worker_threads";
import { AnaxError } from "../../../base/errors.ts";
import { workerUrlOf } from "../../../base/worker-url.ts";
import type { Blob } from "../../meta/extents.ts";
import type { FromMover, MoverStart, ToMover } from "./messages.ts";

interface Move {
  readonly bytes: number;
  waits: PromiseWithResolvers<void> | undefined;
}

/**
 * The thread that moves blobs between this machine and the bucket, as seen by the thread that serves files: that one often sits in a call in which it hears nothing, so
 * what has come meanwhile is looked at whenever it asks.
 */
export class Mover implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #uploads = new Map<number, Move>();
  readonly #fetches = new Map<number, PromiseWithResolvers<void>>();
  readonly #ready = Promise.withResolvers<void>();
  #uploadBytes = 0;
  #room: PromiseWithResolvers<void> | undefined;
  #moved = 0;
  #ended: AnaxError | undefined;
  readonly #onUploaded: (id: number) => void;

  private constructor(worker: Worker, port: MessagePort, onUploaded: (id: number) => void) {
    this.#worker = worker;
    this.#port = port;
    this.#onUploaded = onUploaded;
    port.on("message", (message: FromMover) => this.#hear(message));
    worker.on("error", (error) => this.#end(error.message));
    worker.on("exit", () => this.#end("it has ended"));
  }

  static async start(start: MoverStart, onUploaded: (id: number) => void): Promise<Mover> {
    const { port1, port2 } = new MessageChannel();
    const worker = new Worker(workerUrlOf("mover-worker", import.meta.url), { workerData: { start, port: port2 }, transferList: [port2] });
    const mover = new Mover(worker, port1, onUploaded);
    await mover.#ready.promise;
    return mover;
  }

  /** Blobs that have come or gone: who waits sees that something happens. */
  get moved(): number {
    this.#hearAll();
    return this.#moved;
  }

  /** Bytes that are to be uploaded. */
  get uploadBytes(): number {
    this.#hearAll();
    return this.#uploadBytes;
  }

  upload(blob: Blob): void {
    if (this.#uploads.has(blob.id)) return;
    this.#uploads.set(blob.id, { bytes: blob.bytes, waits: undefined });
    this.#uploadBytes += blob.bytes;
    this.#tell({ kind: "upload", blob });
  }

  isUploading(id: number): boolean {
    this.#hearAll();
    return this.#uploads.has(id);
  }

  /** Rejects with the next failure; the upload goes on. */
  async uploaded(id: number): Promise<void> {
    const move = this.#uploads.get(id);
    if (move === undefined) return;
    if (this.#ended !== undefined) throw this.#ended;
    move.waits ??= Promise.withResolvers();
    await move.waits.promise;
  }

  /** So that a file of it lies in the cache. */
  async fetch(blob: Blob): Promise<void> {
    if (this.#ended !== undefined) throw this.#ended;
    let waits = this.#fetches.get(blob.id);
    if (waits === undefined) {
      this.#fetches.set(blob.id, (waits = Promise.withResolvers()));
      waits.promise.catch(() => undefined);
      this.#tell({ kind: "fetch", blob });
    }
    await waits.promise;
  }

  /** The next time that an upload is done. */
  async room(): Promise<void> {
    if (this.#ended !== undefined) throw this.#ended;
    this.#room ??= Promise.withResolvers();
    await this.#room.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#tell({ kind: "end" });
    this.#end("the volume is closed");
    this.#port.close();
    await this.#worker.terminate();
  }

  #tell(message: ToMover): void {
    this.#port.postMessage(message, []);
  }

  #hearAll(): void {
    for (let next = receiveMessageOnPort(this.#port); next !== undefined; next = receiveMessageOnPort(this.#port))
      this.#hear(next.message as FromMover); // sent by mover-worker.ts
  }

  #hear(message: FromMover): void {
    switch (message.kind) {
      case "ready":
        return this.#ready.resolve();
      case "uploaded": {
        this.#moved++;
        const move = this.#uploads.get(message.id);
        this.#uploads.delete(message.id);
        this.#uploadBytes -= move?.bytes ?? 0;
        this.#onUploaded(message.id);
        move?.waits?.resolve();
        this.#room?.resolve();
        this.#room = undefined;
        return;
      }
      case "upload-failed": {
        const move = this.#uploads.get(message.id);
        move?.waits?.reject(new AnaxError(message.code, message.details));
        if (move !== undefined) move.waits = undefined;
        return;
      }
      case "fetched":
        this.#moved++;
        this.#fetches.get(message.id)?.resolve();
        this.#fetches.delete(message.id);
        return;
      case "fetch-failed":
        this.#fetches.get(message.id)?.reject(new AnaxError(message.code, message.details));
        this.#fetches.delete(message.id);
        return;
    }
  }

  #end(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = new AnaxError("volume.unreachable", { reason: `no blobs are moved any more: ${reason}` });
    this.#ready.reject(this.#ended);
    this.#ready.promise.catch(() => undefined);
    for (const { waits } of this.#uploads.values()) waits?.reject(this.#ended);
    for (const waits of this.#fetches.values()) waits.reject(this.#ended);
    this.#room?.reject(this.#ended);
    this.#room?.promise.catch(() => undefined);
    this.#fetches.clear();
  }
}
