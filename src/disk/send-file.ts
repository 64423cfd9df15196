import { readSync } from "node:fs";
import type { Socket } from "node:net";
import type { Writable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { TLSSocket } from "node:tls";
import type { BufferPool } from "../base/buffer-pool.ts";
import { AnaxError } from "../base/errors.ts";
import { readFully } from "./descriptor.ts";
import { diskErrorOf } from "./disk-error.ts";
import { descriptorUnder, EAGAIN, EINTR, EIO, UNSUPPORTED, type NativeSocket } from "./native-socket.ts";

export interface FileSpan {
  readonly fd: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

export interface SendOptions extends FileSpan {
  /** Buffers for what goes through this process; one is on loan per span that is being read. At least 2 bytes each. */
  readonly buffers: BufferPool;
  readonly signal: AbortSignal;
  /** Called with the number of bytes whenever the kernel, or the stream, has taken some; what a stall watch needs. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
  readonly pace?: Pace | undefined;
}

/** Decides when bytes may be sent, so that they leave no faster than they should. */
export interface Pace {
  /** Most to ask for at once; asked anew for each turn. */
  readonly turnBytes: number;
  /** True: they may go now. */
  tryTake(bytes: number): boolean;
  /** Resolves when they may go. What it throws ends the sending. */
  take(bytes: number): Promise<void>;
}

/** Most that one file gives to one socket before other sockets have their turn. Bytes. */
const TURN_BYTES = 512 * 1024;
/** The ordinary write that waits for room in a full socket. Small, because these bytes are copied twice. */
const PROBE_BYTES = 16 * 1024;

/**
 * Sends a span of a file, by `sendfile(2)` where `native` is given and the socket is a plain one, else as `pipeFile` does. What was written
 * to the socket before goes first. Nothing else may be written until the promise settles.
 * Throws the signal's reason, `socket.closed`, `disk.io`, `disk.corrupt` (the file is shorter) and `limit.exceeded` (no buffer);
 * the socket is destroyed then, because its reader counts on bytes that will not come.
 */
export async function sendFile(
  options: SendOptions & { readonly socket: Socket; readonly native: NativeSocket | undefined },
): Promise<void> {
  const { socket, native, ...rest } = options;
  if (native === undefined || plainFdOf(socket) === undefined) return pipeFile({ ...rest, writable: socket });
  await guarded(socket, rest.signal, () => sendNative({ ...rest, socket, native, probe: createProbe(), isFull: false }));
}

/**
 * Sends what `sendFileNow` left of a span. The same as `sendFile` for who destroys the socket after a failure, and whose signal says no more than that the
 * socket is closed: watching it costs as much as sending a block.
 */
export async function sendFileRest(
  options: SendOptions & {
    readonly socket: Socket;
    readonly native: NativeSocket | undefined;
    readonly probe: Probe;
    /** The socket has just taken less than it was given. */
    readonly isFull: boolean;
  },
): Promise<void> {
  const { socket, native, ...rest } = options;
  if (native === undefined || plainFdOf(socket) === undefined) return pipe({ ...rest, writable: socket });
  await sendNative({ ...rest, socket, native });
}

/** Memory of one socket for bytes that wait in it, made when first needed. Not from the pool: slow readers must not keep its buffers from the others. */
export type Probe = () => Buffer;

export function createProbe(): Probe {
  let made: Buffer | undefined;
  return () => (made ??= Buffer.allocUnsafeSlow(PROBE_BYTES));
}

/**
 * Sends as much of a span as the kernel takes at once, which costs neither a promise nor a turn; returns how many bytes that is. 0 also where only
 * `sendFile` can, which tells what is the matter. What was written to the socket before goes first.
 */
export function sendFileNow({
  socket,
  native,
  fd,
  offsetBytes,
  lengthBytes,
}: FileSpan & { readonly socket: Socket; readonly native: NativeSocket | undefined }): number {
  const isOpen = !socket.connecting && !socket.destroyed && !socket.writableEnded && socket.writableLength === 0;
  const socketFd = native === undefined || !isOpen ? undefined : plainFdOf(socket);
  const bytes = Math.min(lengthBytes, TURN_BYTES);
  if (socketFd === undefined || !native!.resident(fd, offsetBytes + bytes - 1)) return 0; // where there is a descriptor there is this
  return Math.max(0, native!.send(socketFd, fd, offsetBytes, bytes));
}

/**
 * Writes a span of a file to any stream (TLS socket, HTTP response) through one pooled buffer, whose one half is read while the other is written.
 * Throws and destroys as `sendFile` does.
 */
export async function pipeFile(options: SendOptions & { readonly writable: Writable }): Promise<void> {
  await guarded(options.writable, options.signal, () => pipe(options));
}

/** An abort destroys the stream, which ends every wait on it: waits need no signal of their own. */
async function guarded(writable: Writable, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  const onAbort = (): void => void writable.destroy();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    await work();
  } catch (thrown) {
    writable.destroy();
    throw signal.aborted ? signal.reason : thrown;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function pipe(options: SendOptions & { readonly writable: Writable }): Promise<void> {
  const { fd, writable } = options;
  let at = options.offsetBytes;
  const end = at + options.lengthBytes;
  if (at === end) return;
  using buffer = await options.buffers.take(options.signal);
  const half = buffer.bytes.length >> 1;
  let [free, other] = [buffer.bytes.subarray(0, half), buffer.bytes.subarray(half, 2 * half)];
  const readNext = (): Promise<Buffer> => {
    const into = free.subarray(0, Math.min(free.length, end - at));
    const from = at;
    at += into.length;
    [free, other] = [other, free];
    return readExactly(fd, into, from);
  };
  for (let reading: Promise<Buffer> | undefined = readNext(); reading !== undefined;) {
    const chunk: Buffer = await reading;
    const ahead: Promise<Buffer> | undefined = at < end ? readNext() : undefined;
    // Both, since the buffer is given back only when neither uses it.
    const [written, read] = await Promise.allSettled([writePaced(writable, chunk, options.pace), ahead]);
    if (written.status === "rejected") throw written.reason;
    if (read.status === "rejected") throw read.reason;
    options.onProgress?.(chunk.length);
    reading = ahead;
  }
}

/** In turns, where somebody sets the pace. */
async function writePaced(writable: Writable, chunk: Buffer, pace: Pace | undefined): Promise<void> {
  if (pace === undefined) return writeChunk(writable, chunk);
  for (let at = 0; at < chunk.length;) {
    const turn = chunk.subarray(at, at + Math.min(pace.turnBytes, chunk.length));
    if (!pace.tryTake(turn.length)) await pace.take(turn.length);
    await writeChunk(writable, turn);
    at += turn.length;
  }
}

interface NativeOptions extends SendOptions {
  readonly socket: Socket;
  readonly native: NativeSocket;
  readonly probe: Probe;
  /** It is known to take nothing now, so that it is not asked. */
  readonly isFull: boolean;
}

async function sendNative(options: NativeOptions): Promise<void> {
  const { socket, pace } = options;
  const end = options.offsetBytes + options.lengthBytes;
  let { isFull } = options;
  let turnBytes = TURN_BYTES;
  let paidBytes = pace === undefined ? Infinity : 0;
  for (let at = options.offsetBytes; at < end;) {
    if (turnBytes <= 0) {
      await nextTurn();
      turnBytes = TURN_BYTES;
    }
    if (pace !== undefined && paidBytes === 0) {
      paidBytes = Math.min(pace.turnBytes, end - at, TURN_BYTES);
      if (!pace.tryTake(paidBytes)) await pace.take(paidBytes);
    }
    if (socket.writableLength > 0) await writeChunk(socket, EMPTY); // sendfile would overtake what Node still holds
    const lengthBytes = Math.min(turnBytes, paidBytes, end - at);
    const bytes = await sendSome({ ...options, pace: undefined, isFull, offsetBytes: at, lengthBytes });
    isFull = false;
    at += bytes;
    turnBytes -= bytes;
    paidBytes -= bytes;
    options.onProgress?.(bytes);
  }
}

/** Sends the span or a first part of it; returns how many bytes went. */
async function sendSome(options: NativeOptions): Promise<number> {
  const { socket, native, fd, offsetBytes, lengthBytes, probe, isFull } = options;
  const throughProcess = async (): Promise<number> => {
    await pipe({ ...options, writable: socket, onProgress: undefined });
    return lengthBytes;
  };
  // A cold file is read in the thread pool, so that a slow disk never stops the loop.
  if (!native.resident(fd, offsetBytes + lengthBytes - 1)) return throughProcess();
  const sent = isFull ? EAGAIN : native.send(openFdOf(socket), fd, offsetBytes, lengthBytes);
  if (sent > 0) return sent;
  if (sent === EINTR) return 0;
  if (UNSUPPORTED.has(sent)) return throughProcess();
  if (sent !== EAGAIN) throw failureOf(sent, options);
  const chunk = readResident(fd, probe().subarray(0, lengthBytes), offsetBytes);
  await writeChunk(socket, chunk);
  return chunk.length;
}

const EMPTY = Buffer.alloc(0);

/**
 * Writes the head of a span that is sent right after, without a packet of its own where the kernel can be told so: then, and only then, all of it is
 * gone and nothing is returned. Await it only together with the span.
 */
export function writeHead(socket: Socket, head: Uint8Array, native: NativeSocket | undefined): Promise<void> | undefined {
  const fd = native === undefined || socket.connecting || socket.writableLength > 0 ? undefined : plainFdOf(socket);
  const closed = socket.destroyed || socket.writableEnded;
  const sent = fd === undefined || closed ? 0 : Math.max(0, native!.sendMore(fd, head)); // where there is a descriptor there is this
  return sent === head.length ? undefined : writeChunk(socket, head.subarray(sent));
}

/** Resolves when the stream has passed the chunk on, rejects with `socket.closed` when it ends before. */
export function writeChunk(writable: Writable, chunk: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    // A destroyed stream never touches the chunk again once it is closed, but it does not always call back (HTTP does not).
    const onClose = (): void => settle(new AnaxError("socket.closed"));
    const settle = (error: Error | null | undefined): void => {
      writable.removeListener("close", onClose);
      if (error === null || error === undefined) resolve();
      else reject(error instanceof AnaxError ? error : new AnaxError("socket.closed", { reason: error.message }, { cause: error }));
    };
    if (writable.destroyed || writable.writableEnded) return settle(new AnaxError("socket.closed"));
    writable.once("close", onClose);
    writable.write(chunk, settle);
  });
}

async function readExactly(fd: number, into: Buffer, offsetBytes: number): Promise<Buffer> {
  const count = await readFully(fd, into, offsetBytes);
  if (count < into.length) throw shorter({ fd, offsetBytes, lengthBytes: into.length });
  return into;
}

/** Reads what is known to be in memory, without the detour through the thread pool. */
function readResident(fd: number, into: Buffer, offsetBytes: number): Buffer {
  try {
    const count = readSync(fd, into, 0, into.length, offsetBytes);
    if (count === 0) throw shorter({ fd, offsetBytes, lengthBytes: into.length });
    return into.subarray(0, count);
  } catch (thrown) {
    throw diskErrorOf(thrown);
  }
}

function failureOf(sent: number, span: FileSpan): AnaxError {
  if (sent === 0) return shorter(span);
  if (sent === EIO) return new AnaxError("disk.io", { offsetBytes: span.offsetBytes, errno: -sent });
  return new AnaxError("socket.closed", { errno: -sent });
}

const shorter = (span: FileSpan): AnaxError =>
  new AnaxError("disk.corrupt", {
    reason: "the file is shorter than promised",
    offsetBytes: span.offsetBytes,
    lengthBytes: span.lengthBytes,
  });

/** Lets a socket take only so many bytes ahead of what it can send, where the system can do that. */
export function limitUnsent(socket: Socket, bytes: number, native: NativeSocket | undefined): void {
  const fd = plainFdOf(socket);
  if (fd !== undefined) native?.limitUnsent(fd, bytes);
}

/** Wakes the reader of a socket once so many bytes are there, where the system can do that: fewer bytes cost a turn each. */
export function wakeAt(socket: Socket, bytes: number, native: NativeSocket | undefined): void {
  const fd = plainFdOf(socket);
  if (fd !== undefined) native?.wakeAt(fd, bytes);
}

/** The descriptor under a plain socket. A TLS socket shows that of its transport, which must never be written to. */
function plainFdOf(socket: Socket): number | undefined {
  if (socket instanceof TLSSocket) return undefined;
  const fd = descriptorUnder(socket);
  return fd >= 0 ? fd : undefined;
}

/** Asked for anew before every use: the number of a closed socket may belong to another one by now. */
function openFdOf(socket: Socket): number {
  const fd = socket.destroyed || socket.writableEnded ? undefined : plainFdOf(socket);
  if (fd === undefined) throw new AnaxError("socket.closed");
  return fd;
}
