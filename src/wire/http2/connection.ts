import { connect, type Socket } from "node:net";
import type { Clock } from "../../base/clock.ts";
import { AnaxError, errorOf } from "../../base/errors.ts";
import {
  contentOf,
  createFrameParser,
  decodeNumber,
  decodeSettings,
  decodeUint31,
  encodeFrame,
  encodeNumber,
  encodeSettings,
  FLAG,
  FRAME,
  PREFACE,
  SETTING,
  WINDOW_BYTES,
  WINDOW_BYTES_MAX,
  type Frame,
} from "./frames.ts";
import { decodeHeaders, encodeHeaders, type HeaderField } from "./hpack.ts";
import { malformed } from "./malformed.ts";
import { OutgoingBody, SendWindow } from "./send-window.ts";

/** What the answer to a request consists of, in this order; `failed` may come at any time and is the last. */
export interface AnswerEvents {
  /** First of the answer, and a second time for its trailers. */
  readonly headers: (fields: readonly HeaderField[]) => void;
  readonly data: (bytes: Uint8Array) => void;
  readonly end: () => void;
  readonly failed: (error: AnaxError) => void;
}

/** A request under way. */
export interface Exchange {
  /** So many bytes of data were made use of: as many may come anew. */
  readonly used: (bytes: number) => void;
  /** Nobody wants the answer any more. */
  readonly cancel: () => void;
}

export interface ConnectionOptions {
  /** Of a Unix socket. */
  readonly path: string;
  readonly clock: Clock;
  /** Time until the other side has said its first word. */
  readonly connectTimeoutMs: number;
  /** Silence after which the other side is asked for a sign of life, and how long it may take to give one. */
  readonly keepAliveMs: number;
  readonly keepAliveTimeoutMs: number;
}

/** Of each answer, this much may be on its way or waiting for its reader. */
const ANSWER_WINDOW_BYTES = 1024 * 1024;
/** Their readers hold answers back, not the connection: one that is not read must not stop the others. */
const CONNECTION_WINDOW_BYTES = WINDOW_BYTES_MAX;
const HEADER_BYTES_MAX = 64 * 1024;
/** Replies that the socket has not taken yet: a side that asks on and on without reading them must not fill our memory. */
const REPLIES_MAX = 1000;
const PING_BYTES = 8;
const CANCEL = 8;

interface Stream {
  readonly events: AnswerEvents;
  readonly body: OutgoingBody;
  /** The answer itself has begun; what comes now besides data are its trailers. */
  answered: boolean;
  /** What the other side may still send. */
  windowBytes: number;
  /** Used bytes that the other side has not been told of yet. */
  usedBytes: number;
}

/**
 * The client's half of an HTTP/2 connection (RFC 9113) over a Unix socket: as much of it as calls to the daemon on this machine need. Node's
 * own takes longer to load, for the TLS and HTTP/1 that it brings, than the rest of a small download takes altogether.
 */
export class Http2Connection {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #parser = createFrameParser();
  readonly #streams = new Map<number, Stream>();
  readonly #window = new SendWindow(WINDOW_BYTES);
  #streamWindowBytes = WINDOW_BYTES;
  #nextId = 1;
  /** A header block that goes on in the next frame. */
  #block: { readonly frame: Frame; readonly parts: Uint8Array[]; bytes: number } | undefined;
  #receivedBytes = 0;
  #repliesWaiting = 0;
  #greeted = false;
  #heardMs: number;
  #asked = false;
  #watch: Disposable;
  /** Why there will be no more exchanges. */
  #ended: AnaxError | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#heardMs = options.clock.nowMs();
    this.#watch = options.clock.timer(options.connectTimeoutMs, () => this.#onSilence());
    this.#socket = connect(options.path);
    this.#socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    this.#socket.on("error", (error) => this.#lost(error.message));
    this.#socket.on("close", () => this.#lost("the other side closed the connection"));
    const settings = [
      [SETTING.headerTableSize, 0],
      [SETTING.enablePush, 0],
      [SETTING.initialWindowSize, ANSWER_WINDOW_BYTES],
    ] as const;
    this.#write(PREFACE, encodeSettings(settings), encodeNumber(FRAME.windowUpdate, 0, CONNECTION_WINDOW_BYTES - WINDOW_BYTES));
  }

  /** False once it is broken, or the other side wants to end it. */
  get open(): boolean {
    return this.#ended === undefined;
  }

  /** The other side has spoken: somebody is, or was, there. */
  get greeted(): boolean {
    return this.#greeted;
  }

  /** Nothing of it is left: no exchange is under way and none can begin. */
  get closed(): boolean {
    return this.#socket.destroyed;
  }

  /** Sends a request; when the connection has ended, `failed` is called before this returns. */
  request(fields: readonly HeaderField[], body: Uint8Array, events: AnswerEvents): Exchange {
    if (this.#ended !== undefined) {
      events.failed(this.#ended);
      return { used: () => undefined, cancel: () => undefined };
    }
    const id = this.#nextId;
    this.#nextId += 2;
    const outgoing = new OutgoingBody(id, body, this.#streamWindowBytes);
    const stream: Stream = { events, body: outgoing, answered: false, windowBytes: ANSWER_WINDOW_BYTES, usedBytes: 0 };
    this.#streams.set(id, stream);
    const headers = encodeFrame({ type: FRAME.headers, flags: FLAG.endHeaders, streamId: id, payload: encodeHeaders(fields) });
    this.#write(headers, ...stream.body.frames(this.#window));
    return {
      used: (bytes) => this.#used(id, stream, bytes),
      cancel: () => this.#cancel(id),
    };
  }

  close(reason: AnaxError): void {
    this.#end(reason);
  }

  // What is sent

  #write(...frames: readonly Uint8Array[]): void {
    if (frames.length > 0 && !this.#socket.destroyed) this.#socket.write(frames.length === 1 ? frames[0]! : Buffer.concat(frames));
  }

  /** Sends what the other side asked for. */
  #reply(frame: Uint8Array): void {
    if (this.#repliesWaiting >= REPLIES_MAX) throw malformed("more questions than are answered");
    this.#repliesWaiting++;
    this.#socket.write(frame, () => this.#repliesWaiting--);
  }

  #used(id: number, stream: Stream, bytes: number): void {
    stream.usedBytes += bytes;
    if (stream.usedBytes < ANSWER_WINDOW_BYTES / 2 || !this.#streams.has(id)) return;
    this.#write(encodeNumber(FRAME.windowUpdate, id, stream.usedBytes));
    stream.windowBytes += stream.usedBytes;
    stream.usedBytes = 0;
  }

  #cancel(id: number): void {
    if (!this.#streams.has(id)) return;
    this.#write(encodeNumber(FRAME.reset, id, CANCEL));
    this.#forget(id);
  }

  /** More may be sent: on one stream or, without one, on all of them. */
  #goOn(streams: Iterable<Stream>): void {
    for (const { body } of streams) this.#write(...body.frames(this.#window));
  }

  // What comes

  #receive(chunk: Buffer): void {
    this.#heardMs = this.#options.clock.nowMs();
    this.#asked = false;
    try {
      for (const frame of this.#parser.feed(chunk)) if (!this.closed) this.#take(frame);
    } catch (thrown) {
      this.#end(errorOf(thrown));
    }
  }

  #take(frame: Frame): void {
    const goesOn = frame.type === FRAME.continuation && frame.streamId === this.#block?.frame.streamId;
    if (this.#block !== undefined && !goesOn) throw malformed("a header block that is not finished");
    if (!this.#greeted && frame.type !== FRAME.settings) throw malformed("the first frame must be settings");
    const stream = this.#streams.get(frame.streamId);
    switch (frame.type) {
      case FRAME.headers:
        return this.#takeHeaders(frame, contentOf(frame));
      case FRAME.continuation:
        return this.#takeHeaders(this.#block?.frame, frame.payload, frame.flags);
      case FRAME.data:
        return this.#takeData(frame, stream);
      case FRAME.reset:
        return this.#takeReset(frame, stream);
      case FRAME.settings:
        return (frame.flags & FLAG.ack) === 0 ? this.#takeSettings(frame) : undefined;
      case FRAME.ping:
        return this.#takePing(frame);
      case FRAME.goAway:
        return this.#leave(decodeUint31(frame));
      case FRAME.windowUpdate:
        (frame.streamId === 0 ? this.#window : stream?.body.window)?.add(decodeUint31(frame));
        return this.#goOn(frame.streamId === 0 ? this.#streams.values() : stream === undefined ? [] : [stream]);
      case FRAME.pushPromise:
        throw malformed("a push that was not allowed");
      default:
        return;
    }
  }

  #takeHeaders(first: Frame | undefined, part: Uint8Array, flags = first?.flags ?? 0): void {
    if (first === undefined) throw malformed("a continuation of nothing");
    const block = (this.#block ??= { frame: first, parts: [], bytes: 0 });
    block.parts.push(part);
    block.bytes += part.length;
    // The count is bounded, too: an endless row of empty frames is no header.
    if (block.bytes > HEADER_BYTES_MAX || block.parts.length > HEADER_BYTES_MAX / 1024)
      throw malformed("a header block beyond all measure");
    if ((flags & FLAG.endHeaders) === 0) return;
    this.#block = undefined;
    const fields = decodeHeaders(block.parts.length === 1 ? part : Buffer.concat(block.parts));
    const stream = this.#streams.get(first.streamId);
    if (stream !== undefined) takeFields(stream, fields, isLast(first));
    this.#endIfLast(first);
  }

  #takeData(frame: Frame, stream: Stream | undefined): void {
    // Padding counts as well. Streams have a window of their own, so that of the connection is always given back at once.
    this.#receivedBytes += frame.payload.length;
    if (this.#receivedBytes > CONNECTION_WINDOW_BYTES / 4) {
      this.#write(encodeNumber(FRAME.windowUpdate, 0, this.#receivedBytes));
      this.#receivedBytes = 0;
    }
    const content = contentOf(frame);
    if (stream === undefined) return;
    if (!stream.answered) throw malformed("data before any headers");
    stream.windowBytes -= frame.payload.length;
    if (stream.windowBytes < 0) throw malformed("more data than was allowed");
    this.#used(frame.streamId, stream, frame.payload.length - content.length);
    stream.events.data(content);
    this.#endIfLast(frame);
  }

  #endIfLast(frame: Frame): void {
    const stream = this.#streams.get(frame.streamId);
    if (stream === undefined || !isLast(frame)) return;
    this.#forget(frame.streamId);
    stream.events.end();
  }

  #takeReset(frame: Frame, stream: Stream | undefined): void {
    const error = resetError(decodeNumber(frame));
    this.#forget(frame.streamId);
    stream?.events.failed(error);
  }

  #takePing({ flags, payload }: Frame): void {
    if (payload.length !== PING_BYTES) throw malformed("a ping of a wrong length");
    if ((flags & FLAG.ack) === 0) this.#reply(encodeFrame({ type: FRAME.ping, flags: FLAG.ack, payload }));
  }

  #takeSettings(frame: Frame): void {
    const settings = decodeSettings(frame.payload);
    this.#greeted = true;
    const windowBytes = settings.get(SETTING.initialWindowSize) ?? this.#streamWindowBytes;
    if (windowBytes > WINDOW_BYTES_MAX) throw malformed("a window beyond all measure");
    for (const { body } of this.#streams.values()) body.window.add(windowBytes - this.#streamWindowBytes);
    this.#streamWindowBytes = windowBytes;
    this.#reply(encodeFrame({ type: FRAME.settings, flags: FLAG.ack }));
    this.#goOn(this.#streams.values());
  }

  // How it ends

  /** The other side answers what it has begun with, and nothing after it. */
  #leave(lastId: number): void {
    const reason = new AnaxError("rpc.unavailable", { reason: "the other side is going away" });
    this.#ended ??= reason;
    for (const [id, { events }] of this.#streams) {
      if (id <= lastId) continue;
      this.#streams.delete(id);
      events.failed(reason);
    }
    this.#endIfIdle();
  }

  #forget(id: number): void {
    this.#streams.delete(id);
    this.#endIfIdle();
  }

  /** After the last exchange nothing is waited for: whether the other side closes, too, is its own affair. */
  #endIfIdle(): void {
    if (this.#ended !== undefined && this.#streams.size === 0) this.#end(this.#ended);
  }

  #onSilence(): void {
    const { clock, connectTimeoutMs, keepAliveMs, keepAliveTimeoutMs } = this.#options;
    const silentMs = clock.nowMs() - this.#heardMs;
    if (!this.#greeted) return this.#lost("no connection in time", { connectTimeoutMs });
    if (this.#asked && silentMs >= keepAliveTimeoutMs) return this.#lost("no sign of life");
    const ask = silentMs >= keepAliveMs;
    if (ask) this.#write(encodeFrame({ type: FRAME.ping, payload: Buffer.alloc(PING_BYTES) }));
    this.#asked = ask;
    this.#watch = clock.timer(ask ? keepAliveTimeoutMs : Math.max(1, keepAliveMs - silentMs), () => this.#onSilence());
  }

  #lost(reason: string, more: { readonly connectTimeoutMs?: number } = {}): void {
    this.#end(new AnaxError("rpc.unavailable", { address: `unix:${this.#options.path}`, reason, ...more }));
  }

  #end(reason: AnaxError): void {
    this.#ended ??= reason;
    this.#watch[Symbol.dispose]();
    this.#socket.destroy();
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const { events } of streams) events.failed(reason);
  }
}

/** Headers, and trailers with which the answer ends; more would never end. Interim answers (1xx) say nothing that is of use here. */
function takeFields(stream: Stream, fields: readonly HeaderField[], last: boolean): void {
  if (!last && stream.answered) throw malformed("headers in the middle of an answer");
  if (!last && fields.some(([name, value]) => name === ":status" && value.startsWith("1"))) return;
  stream.answered = true;
  stream.events.headers(fields);
}

const isLast = ({ flags }: Frame): boolean => (flags & FLAG.endStream) !== 0;

/** Of RFC 9113, as gRPC has its clients understand them. */
const RESET_CODES = {
  0x7: "rpc.unavailable",
  [CANCEL]: "rpc.cancelled",
  0xb: "rpc.resource-exhausted",
  0xc: "rpc.permission-denied",
} as const;

const resetError = (code: number): AnaxError =>
  new AnaxError(RESET_CODES[code as keyof typeof RESET_CODES] ?? "rpc.internal", { reason: "the other side ended the stream", code });
