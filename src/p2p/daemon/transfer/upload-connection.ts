import type { Socket } from "node:net";
import { AnaxError } from "../../../base/errors.ts";
import { HEADER_BYTES, REQUEST_VALUE_BYTES } from "../../../wire/vortex/codec.ts";
import { createRequestParser, type VortexRequest } from "../../../wire/vortex/request-parser.ts";
import { answer, refuse, type Upload, type UploadContext } from "./upload.ts";
import { Watchdog } from "./watchdog.ts";

const REQUEST_BYTES = HEADER_BYTES + REQUEST_VALUE_BYTES;

/** What is next to do: a request, or the last answer to bytes that are none. */
type Item = VortexRequest | { readonly type: "malformed"; readonly id: 0 };

/** One peer's connection: requests are read ahead up to a limit and answered in order, until either side has enough. */
export class UploadConnection {
  readonly #socket: Socket;
  readonly #context: UploadContext;
  readonly #parser = createRequestParser();
  readonly #queue: Item[] = [];
  readonly #gone = new AbortController();
  readonly #watchdog: Watchdog<"request" | "idle" | "stall" | "goodbye">;
  readonly #upload: Upload;
  /** Bytes that came and are not parsed, since the queue is full. At most one read of the socket. */
  #unread: Uint8Array = new Uint8Array(0);
  /** Bytes of a request that has not arrived completely. */
  #partialBytes = 0;
  /** No further request will be taken. */
  #ended = false;
  #answering = false;
  #wake: (() => void) | undefined;

  constructor(socket: Socket, context: UploadContext) {
    this.#socket = socket;
    this.#context = context;
    this.#watchdog = new Watchdog(context.clock, (what, afterMs) => {
      context.log.debug("upload.connection-timeout", { what, afterMs, remote: socket.remoteAddress });
      socket.destroy();
    });
    this.#upload = {
      socket,
      signal: this.#gone.signal,
      onWriting: () => this.#watchdog.watch("stall", context.config.uploadStallMs),
      onProgress: () => this.#watchdog.touch(),
      onWaiting: () => this.#watchdog.rest(),
    };
  }

  /** Serves until the connection is closed; never throws. */
  async run(): Promise<void> {
    const socket = this.#socket;
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => {}); // its close follows, and what it breaks off reports itself
    socket.once("close", () => {
      this.#end();
      this.#gone.abort(new AnaxError("socket.closed"));
    });
    socket.on("data", (chunk) => this.#take(chunk));
    socket.once("end", () => this.#end());
    this.#watchdog.watch("request", this.#context.config.uploadRequestMs);
    try {
      await this.#serve();
      this.#sayGoodbye();
    } catch (thrown) {
      if (!(thrown instanceof AnaxError)) this.#context.log.error("upload.crashed", { reason: String(thrown) }); // others were reported
      socket.destroy();
    }
    await closed;
    this.#watchdog[Symbol.dispose]();
  }

  /** Takes no further request and closes once the answer on its way is complete. */
  drain(): void {
    this.#queue.length = 0;
    this.#end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  async #serve(): Promise<void> {
    for (let item = await this.#next(); item !== undefined; item = await this.#next()) {
      this.#answering = true;
      this.#watchdog.rest(); // the wait for a turn has its own limit
      if (item.type === "download") await answer(this.#context, item, this.#upload);
      else if (item.type === "malformed") await refuse(this.#context, item, this.#upload, "invalid");
      this.#answering = false;
      this.#watch();
    }
  }

  /** The next request in order, or undefined when there will be none. */
  async #next(): Promise<Item | undefined> {
    this.#parse();
    while (this.#queue.length === 0) {
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return this.#queue.shift();
  }

  #take(chunk: Uint8Array): void {
    if (this.#ended) return;
    this.#unread = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
    const wasPartial = this.#partialBytes > 0;
    this.#parse();
    // The time for a request counts from its first byte: dripping more of them must not prolong it.
    if (!this.#answering && !(wasPartial && this.#queue.length === 0)) this.#watch();
  }

  /** Parses request by request, so that what stood before malformed bytes is answered and the queue never overflows. */
  #parse(): void {
    let at = 0;
    while (at < this.#unread.length && !this.#ended && this.#queue.length < this.#context.config.uploadPipelineMax) {
      const part = this.#unread.subarray(at, at + REQUEST_BYTES - this.#partialBytes);
      at += part.length;
      this.#partialBytes += part.length;
      this.#feed(part);
    }
    this.#unread = this.#ended ? this.#unread.subarray(0, 0) : this.#unread.subarray(at);
    if (this.#unread.length > 0) this.#socket.pause();
    else if (this.#socket.isPaused()) this.#socket.resume();
    if (this.#queue.length > 0) this.#awake();
  }

  #feed(part: Uint8Array): void {
    try {
      for (const request of this.#parser.feed(part)) {
        this.#partialBytes = 0;
        this.#queue.push(request);
        if (request.type === "close") this.#end();
      }
    } catch (thrown) {
      this.#context.log.debug("upload.malformed", { remote: this.#socket.remoteAddress, reason: String(thrown) });
      this.#queue.push({ type: "malformed", id: 0 });
      this.#end();
    }
  }

  #watch(): void {
    const { uploadRequestMs, uploadIdleMs } = this.#context.config;
    if (this.#partialBytes > 0) this.#watchdog.watch("request", uploadRequestMs);
    else this.#watchdog.watch("idle", uploadIdleMs);
  }

  #end(): void {
    this.#ended = true;
    this.#awake();
  }

  #awake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  /** Closes our side and reads on into nothing, since a reset could overtake the last answer. */
  #sayGoodbye(): void {
    this.#watchdog.watch("goodbye", this.#context.config.uploadRequestMs);
    this.#socket.end();
    this.#socket.resume();
  }
}
