import type { Socket } from "node:net";
import type { BufferPool } from "../../../base/buffer-pool.ts";
import type { Clock } from "../../../base/clock.ts";
import { AnaxError, errorOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { NativeSocket } from "../../../disk/native-socket.ts";
import { createProbe, limitUnsent, sendFileNow, sendFileRest, writeChunk, writeHead, type FileSpan } from "../../../disk/send-file.ts";
import {
  decodeFrameHeader,
  decodeGreeting,
  decodeNews,
  decodeRequest,
  encodeRunHead,
  encodeEnd,
  encodePieceStart,
  FRAME_HEADER_BYTES,
  GREETING_BYTES_MAX,
  malformedFrame,
  type BlockRequest,
  type End,
  type NewsFrame,
} from "../../../wire/mesh/frames.ts";
import { MeshUpdate } from "../../../wire/grpc/gen/anax/v1/peer.ts";
import type { TaskId } from "../../model/ids.ts";
import { pieceRangeOf } from "../../model/piece.ts";
import type { RateLimits } from "../rates/types.ts";
import { Watchdog } from "../transfer/watchdog.ts";
import type { TransferConfig } from "../transfer/config.ts";
import type { Outgoing } from "./outgoing.ts";

/** Decides what a neighbour gets, and hears its news. */
export interface Admission {
  /** The piece that is sent, or why none is; the signal says that it is not wanted any more. Never rejects. */
  admit(request: BlockRequest, hostId: string, signal: AbortSignal): Promise<Outgoing | End>;
  /** Throws `vortex.malformed`. */
  onNews(taskId: string, update: MeshUpdate, hostId: string): void;
}

export interface BlockServingOptions {
  readonly socket: Socket;
  /** What has been read of the connection. */
  readonly first: Buffer;
  readonly admission: Admission;
  readonly config: TransferConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: RateLimits;
  readonly buffers: BufferPool;
  readonly native: NativeSocket | undefined;
  readonly onSent: (bytes: number) => void;
}

/** Pieces that one neighbour gets at once; it asks for fewer. */
const STREAMS_MAX = 32;
const UNREAD_BYTES_MAX = 64 * 1024;
/** Neighbouring blocks that are sent in one go, before other pieces have their turn; a longer block goes alone. */
const RUN_BYTES = 256 * 1024;
/** Given to the kernel ahead of what the link takes: enough to keep it busy, so little that a piece that is cancelled stops soon. */
const UNSENT_BYTES_MAX = 128 * 1024;
/** Answers that may wait for a neighbour to listen. */
const REPLIES_MAX = 4096;

interface Sending {
  readonly stream: number;
  readonly outgoing: Outgoing;
  nextBlock: number;
  /** The neighbour wants no more of it. */
  cancelled: boolean;
}

/** One neighbour's connection: what it asks for is sent in runs of blocks, one of each piece in turn. */
export class BlockServing {
  readonly #options: BlockServingOptions;
  readonly #socket: Socket;
  readonly #gone = new AbortController();
  readonly #watchdog: Watchdog<"greeting" | "idle" | "stall">;
  readonly #sending = new Map<number, Sending>();
  /** Requests that are being decided about. */
  readonly #asked = new Map<number, AbortController>();
  #replies: Buffer[] = [];
  #unread: Buffer;
  #hostId: string | undefined;
  #ended = false;
  #wake: (() => void) | undefined;
  /** The stream that had its turn last. */
  #last = -1;
  readonly #probe = createProbe();
  readonly #onProgress = (): void => this.#watchdog.touch();

  constructor(options: BlockServingOptions) {
    this.#options = options;
    this.#socket = options.socket;
    this.#unread = options.first;
    this.#watchdog = new Watchdog(options.clock, () => this.#socket.destroy());
  }

  /** Serves until the connection is closed; never throws. */
  async run(): Promise<void> {
    const socket = this.#socket;
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => {}); // its close follows
    socket.once("close", () => this.#end());
    socket.once("end", () => socket.destroy()); // a neighbour that has enough wants no rest
    socket.on("data", (chunk) => this.#take(chunk));
    this.#watchdog.watch("greeting", this.#options.config.uploadRequestMs);
    limitUnsent(socket, UNSENT_BYTES_MAX, this.#options.native);
    try {
      this.#take(Buffer.alloc(0));
      await this.#serve();
    } catch (thrown) {
      const error = errorOf(thrown);
      const level = error.code.startsWith("disk.") ? "warn" : "debug";
      this.#options.log[level]("blocks.broken-off", { remote: socket.remoteAddress, code: error.code, reason: error.message });
    }
    socket.destroy();
    await closed;
    for (const sending of this.#sending.values()) this.#finish(sending, undefined);
    this.#watchdog[Symbol.dispose]();
  }

  /** A neighbour asks another for the rest. */
  drain(): void {
    this.#socket.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  async #serve(): Promise<void> {
    while (!this.#ended) {
      const sending = this.#replies.length > 0 ? undefined : this.#nextReady();
      if (this.#replies.length > 0) await this.#reply();
      else if (sending !== undefined) await this.#sendRun(sending);
      else await this.#sleep();
    }
  }

  async #sleep(): Promise<void> {
    if (this.#sending.size + this.#asked.size === 0 && this.#hostId !== undefined)
      this.#watchdog.watch("idle", this.#options.config.uploadIdleMs);
    else if (this.#hostId !== undefined) this.#watchdog.rest(); // it waits for us, or we for somebody else
    await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  async #reply(): Promise<void> {
    const replies = Buffer.concat(this.#replies);
    this.#replies = [];
    this.#watchdog.watch("stall", this.#options.config.uploadStallMs);
    await writeChunk(this.#socket, replies);
  }

  /** The next stream in turn of which a block can be sent; those that came to an end on the way are ended. */
  #nextReady(): Sending | undefined {
    const streams = [...this.#sending.values()];
    const start = streams.findIndex(({ stream }) => stream === this.#last) + 1;
    for (let n = 0; n < streams.length; n++) {
      const sending = streams[(start + n) % streams.length]!; // within the list
      if (!sending.cancelled && sending.nextBlock < sending.outgoing.readyBlocks()) return sending;
      if (sending.cancelled || sending.outgoing.gone) this.#finish(sending, "gone");
    }
    return undefined;
  }

  async #sendRun(sending: Sending): Promise<void> {
    const { socket, native, onSent, config } = this.#options;
    const { stream, outgoing, nextBlock } = sending;
    const { start, stored } = outgoing;
    this.#last = stream;
    const from = nextBlock * start.blockBytes;
    const blocks = Math.min(outgoing.readyBlocks() - nextBlock, Math.max(1, Math.floor(RUN_BYTES / start.blockBytes)));
    const lengthBytes = Math.min(blocks * start.blockBytes, start.lengthBytes - from);
    const offsetBytes = pieceRangeOf(stored.meta, start.piece).start + from;
    const runHead = encodeRunHead(stream, lengthBytes);
    sending.nextBlock += blocks;
    if (!this.#mayPay(stored.meta.id, lengthBytes)) await this.#pay(stored.meta.id, lengthBytes);
    this.#watchdog.watch("stall", config.uploadStallMs);
    const head = nextBlock === 0 ? Buffer.concat([encodePieceStart({ ...start, stream }), runHead]) : runHead;
    const heading = writeHead(socket, head, native);
    const atOnce = sendFileNow({ socket, native, fd: stored.fd, offsetBytes, lengthBytes });
    if (atOnce < lengthBytes) {
      const rest = { fd: stored.fd, offsetBytes: offsetBytes + atOnce, lengthBytes: lengthBytes - atOnce };
      await this.#sendRest(rest, atOnce > 0, heading);
    }
    onSent(lengthBytes);
    stored.addUploadedBytes(lengthBytes);
    if (isLastOnItsWay(sending)) this.#finish(sending, undefined);
  }

  async #sendRest(rest: FileSpan, isFull: boolean, heading: Promise<void> | undefined): Promise<void> {
    const { socket, native, buffers } = this.#options;
    const body = sendFileRest({
      ...rest,
      socket,
      native,
      buffers,
      isFull,
      probe: this.#probe,
      signal: this.#gone.signal,
      onProgress: this.#onProgress,
    });
    if (heading === undefined) return body;
    const [written, sent] = await Promise.allSettled([heading, body]);
    if (sent.status === "rejected") throw sent.reason;
    if (written.status === "rejected") throw written.reason;
  }

  /** False: not all at once, or not now. */
  #mayPay(taskId: TaskId, bytes: number): boolean {
    const { limits } = this.#options;
    return bytes <= limits.uploadTurnBytes && limits.tryUpload(taskId, limits.uploadClass, bytes);
  }

  async #pay(taskId: TaskId, bytes: number): Promise<void> {
    const { limits } = this.#options;
    for (let left = bytes; left > 0;) {
      const part = Math.min(left, limits.uploadTurnBytes);
      left -= part;
      if (limits.tryUpload(taskId, limits.uploadClass, part)) continue;
      this.#watchdog.rest(); // it is us who are slow
      await limits.upload(taskId, limits.uploadClass, part, this.#gone.signal);
    }
  }

  /** A piece that is complete says so by itself. */
  #finish({ stream, outgoing }: Sending, end: End | undefined): void {
    if (!this.#sending.delete(stream)) return;
    outgoing[Symbol.dispose]();
    if (end !== undefined) this.#say(encodeEnd(stream, end));
  }

  #say(reply: Buffer): void {
    if (this.#replies.length >= REPLIES_MAX) return void this.#socket.destroy(); // it asks and does not listen
    this.#replies.push(reply);
    this.#awake();
  }

  #take(chunk: Buffer): void {
    if (this.#ended) return;
    this.#unread = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
    try {
      if (this.#hostId === undefined && !this.#greeted()) return;
      while (this.#readFrame());
      if (this.#unread.length > UNREAD_BYTES_MAX) throw malformedFrame("a frame without end");
    } catch (thrown) {
      this.#options.log.debug("blocks.malformed", { remote: this.#socket.remoteAddress, reason: String(thrown) });
      this.#socket.destroy();
    }
  }

  #greeted(): boolean {
    const greeting = decodeGreeting(this.#unread);
    if (greeting === undefined) {
      if (this.#unread.length > GREETING_BYTES_MAX) throw malformedFrame("a greeting without end");
      return false;
    }
    this.#hostId = greeting.hostId;
    this.#unread = this.#unread.subarray(greeting.consumedBytes);
    this.#watchdog.watch("idle", this.#options.config.uploadIdleMs);
    return true;
  }

  #readFrame(): boolean {
    if (this.#unread.length < FRAME_HEADER_BYTES) return false;
    const header = decodeFrameHeader(this.#unread);
    if (header.type !== "request" && header.type !== "cancel" && header.type !== "news") throw malformedFrame("only a sender says this");
    const end = FRAME_HEADER_BYTES + header.lengthBytes;
    if (this.#unread.length < end) return false;
    const payload = this.#unread.subarray(FRAME_HEADER_BYTES, end);
    if (header.type === "request") this.#onRequest(decodeRequest(header, payload));
    else if (header.type === "news") this.#onNews(decodeNews(payload));
    else this.#cancelled(header.stream);
    this.#unread = this.#unread.subarray(end);
    return true;
  }

  #onNews({ taskId, update }: NewsFrame): void {
    this.#options.admission.onNews(taskId, decodeUpdate(update), this.#hostId!); // greeted before
    this.#awake(); // it is not idle
  }

  #onRequest(request: BlockRequest): void {
    const { stream } = request;
    if (this.#sending.has(stream) || this.#asked.has(stream)) throw malformedFrame("a stream that is in use", { stream });
    if (this.#sending.size + this.#asked.size >= STREAMS_MAX) return this.#say(encodeEnd(stream, "busy"));
    const wanted = new AbortController();
    this.#asked.set(stream, wanted);
    void this.#options.admission.admit(request, this.#hostId!, wanted.signal).then((admitted) => this.#admitted(stream, admitted)); // greeted before
  }

  #admitted(stream: number, admitted: Outgoing | End): void {
    const wanted = this.#asked.get(stream)?.signal.aborted === false;
    this.#asked.delete(stream);
    if (typeof admitted === "string") return this.#say(encodeEnd(stream, admitted));
    if (this.#ended || !wanted) {
      admitted[Symbol.dispose]();
      if (!this.#ended) this.#say(encodeEnd(stream, "gone"));
      return;
    }
    admitted.onChange(() => this.#awake());
    this.#sending.set(stream, { stream, outgoing: admitted, nextBlock: 0, cancelled: false });
    this.#awake();
  }

  #cancelled(stream: number): void {
    const sending = this.#sending.get(stream);
    if (sending === undefined) return this.#asked.get(stream)?.abort(); // its end is said when it is decided about
    sending.cancelled = true; // what is being sent of it is sent; if that is the last of it, it is complete and has no other end
    this.#awake();
  }

  #end(): void {
    this.#ended = true;
    this.#gone.abort(new AnaxError("socket.closed"));
    for (const wanted of this.#asked.values()) wanted.abort();
    this.#awake();
  }

  #awake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}

function decodeUpdate(bytes: Uint8Array): MeshUpdate {
  try {
    return MeshUpdate.decode(bytes);
  } catch {
    throw malformedFrame("news that cannot be read");
  }
}

const isLastOnItsWay = ({ nextBlock, outgoing: { start } }: Sending): boolean => nextBlock * start.blockBytes >= start.lengthBytes;
