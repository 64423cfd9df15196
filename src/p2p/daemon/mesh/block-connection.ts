import { connect, type Socket } from "node:net";
import type { BufferPool, PooledBuffer } from "../../../base/buffer-pool.ts";
import type { Clock } from "../../../base/clock.ts";
import { AnaxError, systemCodeOf } from "../../../base/errors.ts";
import {
  decodeEnd,
  decodeFrameHeader,
  decodePieceStart,
  encodeCancel,
  encodeGreeting,
  encodeNews,
  encodeRequest,
  FRAME_HEADER_BYTES,
  malformedFrame,
  SMALL_PAYLOAD_BYTES_MAX,
  type FrameHeader,
  type NewsFrame,
} from "../../../wire/mesh/frames.ts";
import type { NativeSocket } from "../../../disk/native-socket.ts";
import { wakeAt } from "../../../disk/send-file.ts";
import type { MeshConfig } from "./config.ts";
import type { PieceReceiver } from "./piece-receiver.ts";

export interface BlockConnectionOptions {
  readonly address: { readonly ip: string; readonly port: number };
  /** Who we are. */
  readonly hostId: string;
  readonly config: MeshConfig;
  readonly clock: Clock;
  readonly native: NativeSocket | undefined;
  /** Buffers for blocks of at most this size, with `BEYOND_BYTES` besides. */
  readonly poolFor: (blockBytes: number) => BufferPool;
  readonly onClosed: () => void;
}

const SMALL_BYTES = 64 * 1024;
/** Read together with the end of a block: the frame that follows, and the beginning of the next block. Fits the small buffer. */
export const BEYOND_BYTES = 16 * 1024;
const STREAMS_MAX = 0x1_0000;
/** News that a neighbour may leave unread before we leave it. */
const UNREAD_NEWS_BYTES_MAX = 1024 * 1024;

/** The pace of a connection is that of so long. */
const PACE_MS = 100;
/** Bytes of a block may lie unread for so long: a small part of what makes a neighbour slow. */
const SOON_MS = 150;

/** The block that is being read. */
interface Body {
  readonly receiver: PieceReceiver;
  readonly lengthBytes: number;
  /** Bytes of further blocks that follow in the same run. */
  readonly restBytes: number;
  filled: number;
  /** Undefined: the bytes are for nobody. */
  buffer: PooledBuffer | undefined;
}

/**
 * Our connection to one neighbour, over which it sends the pieces of all tasks that we ask it for. Blocks go from the socket straight into a pooled
 * buffer each, what follows them by way of a small one; the socket is paused while there is no buffer.
 *
 * Node lets a socket read into our memory (`onread`), but asks where only right after each read. So a buffer that was named is given
 * back only in `#advance`, which runs where that question follows, or once the socket is destroyed.
 */
export class BlockConnection {
  readonly #options: BlockConnectionOptions;
  readonly #socket: Socket;
  readonly #receivers = new Map<number, PieceReceiver>();
  readonly #small = Buffer.allocUnsafeSlow(SMALL_BYTES);
  #smallFrom = 0;
  #smallTo = 0;
  /** A frame that is no block, as far as it has come. */
  readonly #frame = Buffer.allocUnsafeSlow(FRAME_HEADER_BYTES + SMALL_PAYLOAD_BYTES_MAX);
  #frameBytes = 0;
  #header: FrameHeader | undefined;
  #body: Body | undefined;
  #readingIntoBody = false;
  #wakesAtBytes = 1;
  readonly #pace: Pace;
  #paused = false;
  #ended = false;
  #stream = 0;
  #connected = false;
  #idle: Disposable | undefined;
  #late: Disposable | undefined;
  readonly #gone = new AbortController();
  #cause: Error | undefined;

  constructor(options: BlockConnectionOptions) {
    this.#options = options;
    const { ip: host, port } = options.address;
    this.#pace = new Pace(options.clock);
    this.#socket = connect({
      host,
      port,
      noDelay: true,
      onread: { buffer: () => this.#target(), callback: (bytes) => this.#received(bytes) },
    });
    this.#socket.write(encodeGreeting(options.hostId));
    this.#late = options.clock.timer(options.config.connectMs, () => this.close(this.#unavailable("timeout: connect")));
    this.#socket.once("connect", () => {
      this.#connected = true;
      this.#late?.[Symbol.dispose]();
    });
    this.#socket.once("end", () => this.close(this.#unavailable("the neighbour closed the connection")));
    this.#socket.on("error", (error) => (this.#cause ??= error));
    this.#socket.once("close", () => {
      this.close(this.#unavailable(systemCodeOf(this.#cause) ?? "the connection broke"));
      options.onClosed();
    });
    this.#rest();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Both ends are there. */
  get established(): boolean {
    return this.#connected && !this.#ended;
  }

  /** Aborted when the connection has ended; what was told last may not have arrived. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  tell(news: NewsFrame): void {
    if (this.#ended) return;
    if (this.#socket.writableLength > UNREAD_NEWS_BYTES_MAX) return this.close(this.#unavailable("the neighbour does not read"));
    this.#socket.write(encodeNews(news));
    this.#rest();
  }

  /** Asks for a piece; the receiver is settled in any case. */
  request(receiver: PieceReceiver): void {
    if (this.#ended) return receiver.fail(this.#unavailable("the connection has just ended"));
    this.#idle?.[Symbol.dispose]();
    const stream = this.#freeStream();
    this.#receivers.set(stream, receiver);
    receiver.sent = true;
    receiver.touch();
    this.#socket.write(encodeRequest({ stream, taskId: receiver.taskId, piece: receiver.piece, orAnother: receiver.orAnother }));
    // A receiver that gives up by itself, since a block was wrong or the disk failed, wants no more of them.
    const quit = (): void => this.#cancel(stream, receiver);
    receiver.done.then(quit, quit);
  }

  close(because: AnaxError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#idle?.[Symbol.dispose]();
    this.#late?.[Symbol.dispose]();
    this.#socket.destroy(); // from here on nothing is read into a buffer
    this.#gone.abort(because);
    this.#body?.buffer?.[Symbol.dispose]();
    this.#body = undefined;
    for (const receiver of this.#receivers.values()) receiver.fail(because);
    this.#receivers.clear();
  }

  #freeStream(): number {
    while (this.#receivers.has(this.#stream)) this.#stream = (this.#stream + 1) % STREAMS_MAX; // far fewer are ever open
    const stream = this.#stream;
    this.#stream = (this.#stream + 1) % STREAMS_MAX;
    return stream;
  }

  /** Its entry stays until the neighbour has said that no more of its blocks come. */
  #cancel(stream: number, receiver: PieceReceiver): void {
    if (this.#ended || this.#receivers.get(stream) !== receiver) return;
    this.#socket.write(encodeCancel(stream));
  }

  #rest(): void {
    if (this.#receivers.size > 0 || this.#ended) return;
    this.#idle?.[Symbol.dispose]();
    this.#idle = this.#options.clock.timer(this.#options.config.idleMs, () => this.close(this.#unavailable("idle")));
  }

  #received(bytes: number): boolean {
    if (this.#ended) return false;
    this.#pace.count(bytes);
    if (this.#readingIntoBody) this.#filled(this.#body!, bytes); // it was named, so it is there
    else this.#smallTo += bytes;
    this.#paused = !this.#tryAdvance();
    return !this.#paused;
  }

  /** Its memory has got so many bytes more. What is not of this block goes on as if it had been read by itself. */
  #filled(body: Body, bytes: number): void {
    const [from, end] = [body.lengthBytes, body.filled + bytes];
    body.filled = Math.min(from, end);
    body.receiver.touch();
    if (end <= from) return;
    this.#smallFrom = 0; // it is empty while a read goes elsewhere
    this.#smallTo = body.buffer!.bytes.copy(this.#small, 0, from, end); // likewise named
  }

  /** Where the next read goes. Only asked for right after `#received`, and once in the beginning. */
  #target(): Buffer {
    const body = this.#paused || this.#ended ? undefined : this.#body;
    this.#readingIntoBody = body?.buffer !== undefined;
    return body?.buffer?.bytes.subarray(body.filled, body.lengthBytes + BEYOND_BYTES) ?? this.#small;
  }

  #resume(): void {
    if (!this.#paused || this.#ended || !this.#tryAdvance()) return;
    this.#paused = false;
    this.#socket.resume();
  }

  #tryAdvance(): boolean {
    try {
      return this.#advance();
    } catch (thrown) {
      this.close(thrown as AnaxError); // the decoders throw nothing else
      return false;
    }
  }

  /** Works through what has been read, all of it. False: no more may be read until there is a buffer. */
  #advance(): boolean {
    while (!this.#ended) {
      if (this.#body !== undefined) {
        if (this.#body.filled === this.#body.lengthBytes) this.#endBody(this.#body);
        else if (!this.#fillBody(this.#body)) return false;
        else if (this.#unread === 0 && this.#body.filled < this.#body.lengthBytes) return this.#emptied();
      } else if (this.#unread === 0) return this.#emptied();
      else this.#readFrame();
    }
    return false;
  }

  get #unread(): number {
    return this.#smallTo - this.#smallFrom;
  }

  #emptied(): true {
    this.#smallFrom = this.#smallTo = 0;
    // A turn for each packet costs more than all that is done with its bytes.
    const wakesAtBytes = this.#body === undefined ? 1 : Math.min(this.#body.lengthBytes - this.#body.filled, this.#pace.soonBytes);
    if (wakesAtBytes !== this.#wakesAtBytes) wakeAt(this.#socket, wakesAtBytes, this.#options.native);
    this.#wakesAtBytes = wakesAtBytes;
    return true;
  }

  /** Moves what was read with something else into the body. False while there is no buffer for it. */
  #fillBody(body: Body): boolean {
    if (body.buffer === undefined && !body.receiver.settled) {
      body.buffer = this.#options.poolFor(body.lengthBytes).tryTake();
      if (body.buffer === undefined) {
        void this.#waitForBuffer(body);
        return false;
      }
    }
    const bytes = Math.min(this.#unread, body.lengthBytes - body.filled);
    if (body.buffer !== undefined) this.#small.copy(body.buffer.bytes, body.filled, this.#smallFrom, this.#smallFrom + bytes);
    this.#smallFrom += bytes;
    body.filled += bytes;
    if (bytes > 0) body.receiver.touch();
    return true;
  }

  async #waitForBuffer(body: Body): Promise<void> {
    try {
      const buffer = await this.#options.poolFor(body.lengthBytes).take(this.#gone.signal);
      if (this.#ended || this.#body !== body) buffer[Symbol.dispose]();
      else body.buffer = buffer;
    } catch (thrown) {
      this.close(thrown as AnaxError); // the line is full, or this connection has ended already
    }
    this.#resume();
  }

  #endBody({ receiver, buffer, lengthBytes, restBytes }: Body): void {
    this.#body = undefined;
    if (buffer !== undefined) receiver.take(buffer.bytes.subarray(0, lengthBytes), () => buffer[Symbol.dispose]());
    else receiver.skip();
    if (restBytes > 0) this.#body = this.#bodyOf(receiver, restBytes);
    else if (receiver.expectedBytes === undefined) this.#forget(receiver);
  }

  #readFrame(): void {
    const want = this.#header === undefined ? FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + this.#header.lengthBytes;
    const bytes = Math.min(want - this.#frameBytes, this.#unread);
    this.#small.copy(this.#frame, this.#frameBytes, this.#smallFrom, this.#smallFrom + bytes);
    this.#smallFrom += bytes;
    this.#frameBytes += bytes;
    if (this.#frameBytes < want) return;
    this.#header ??= decodeFrameHeader(this.#frame);
    if (this.#header.type === "run") this.#beginRun(this.#header);
    else if (this.#frameBytes === FRAME_HEADER_BYTES + this.#header.lengthBytes) this.#onFrame(this.#header);
  }

  #beginRun(header: FrameHeader): void {
    const receiver = this.#receivers.get(header.stream);
    if (receiver === undefined) throw malformedFrame("blocks without a request", { stream: header.stream });
    this.#body = this.#bodyOf(receiver, header.lengthBytes);
    this.#nextFrame();
  }

  /** The first block of so many bytes. */
  #bodyOf(receiver: PieceReceiver, runBytes: number): Body {
    const lengthBytes = receiver.expectedBytes;
    if (lengthBytes === undefined || lengthBytes > runBytes) throw malformedFrame("not a run of whole blocks", { runBytes });
    return { receiver, lengthBytes, restBytes: runBytes - lengthBytes, filled: 0, buffer: undefined };
  }

  #onFrame(header: FrameHeader): void {
    const payload = this.#frame.subarray(FRAME_HEADER_BYTES, this.#frameBytes);
    const receiver = this.#receivers.get(header.stream);
    if (receiver === undefined) throw malformedFrame("an answer without a request", { stream: header.stream });
    if (header.type === "piece") receiver.begin(decodePieceStart(header, payload));
    else if (header.type === "end") {
      receiver.ended(decodeEnd(payload));
      this.#receivers.delete(header.stream);
      this.#rest();
    } else throw malformedFrame("only a receiver says this");
    this.#nextFrame();
  }

  #nextFrame(): void {
    this.#header = undefined;
    this.#frameBytes = 0;
  }

  #forget(receiver: PieceReceiver): void {
    for (const [stream, each] of this.#receivers) if (each === receiver) this.#receivers.delete(stream);
    this.#rest();
  }

  #unavailable(reason: string): AnaxError {
    const { ip, port } = this.#options.address;
    return new AnaxError("rpc.unavailable", { neighbour: `${ip}:${port}`, reason }, { cause: this.#cause });
  }
}

/** How fast bytes come lately. */
class Pace {
  readonly #clock: Clock;
  #sinceMs: number;
  #bytes = 0;
  #bytesPerMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#sinceMs = clock.nowMs();
  }

  count(bytes: number): void {
    this.#bytes += bytes;
    const tookMs = this.#clock.nowMs() - this.#sinceMs;
    if (tookMs < PACE_MS) return;
    this.#bytesPerMs = this.#bytes / tookMs;
    this.#bytes = 0;
    this.#sinceMs += tookMs;
  }

  /** What surely comes so soon that nobody misses it until then. At least 1. */
  get soonBytes(): number {
    return Math.max(1, Math.floor(this.#bytesPerMs * SOON_MS));
  }
}
