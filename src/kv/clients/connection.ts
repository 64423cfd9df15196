import { readSync } from "node:fs";
import { Socket, type OnReadOpts } from "node:net";
import { TLSSocket } from "node:tls";
import { ProtocolError, RequestParser, type RequestBatch, type RequestSink } from "../../wire/resp/request-parser.ts";
import type { NativeConnections, PinnedBuffer } from "../../disk/native-connections.ts";
import { descriptorUnder, EAGAIN, EINTR } from "../../disk/native-socket.ts";
import type { ReplyWriter } from "../../wire/resp/reply-writer.ts";
import { Client, type ClientOutput, type Peer } from "./client.ts";
import { outputLimitOf } from "./client-upkeep.ts";
import type { Outbox, Sender } from "./outbox.ts";
import type { Reader, Turns } from "./turns.ts";
import { dispatch } from "../dispatch.ts";
import type { ReplyHold, Store } from "../store.ts";

/** Replies up to this are copied, so that their buffer serves the next ones; larger ones are handed over. */
const COPIED_BYTES_MAX = 8 * 1024;
/**
 * While a client has not taken so much of its replies, nothing more is read of it. More than the replies of any pipeline: many clients send one whole before they
 * read, and would wait for ever.
 */
const UNSENT_BYTES_MAX = 256 * 1024 * 1024;
/** Who makes much to send makes no more until the other side has taken all but this. */
const DRAINED_BYTES = 1024 * 1024;

/** What the connections of one thread share. */
export interface ConnectionShared {
  readonly store: Store;
  /** What a stream reads next lies here, until the next read of any connection. */
  readonly buffer: Buffer;
  readonly batch: RequestBatch;
  readonly outbox: Outbox;
  /** Undefined where the system has none: then the stream reads and sends everything. */
  readonly native: NativeReading | undefined;
}

/** Reading and sending past Node's streams. */
export interface NativeReading {
  readonly calls: NativeConnections;
  readonly turns: Turns;
  /** What is read next lies here. */
  readonly buffer: PinnedBuffer;
}

/** A client's connection: bytes in, commands run, replies out. Knows one end: once it is closed nothing is read or written any more. */
export class Connection implements ClientOutput, Reader, Sender {
  readonly client: Client;
  readonly #shared: ConnectionShared;
  readonly #parser: RequestParser;
  readonly #socket: Socket;
  readonly #onClosed: () => void;
  /** Of a plain socket, otherwise -1. */
  readonly #fd: number;
  /** Reads past the stream; otherwise undefined. */
  readonly #turns: Turns | undefined;
  /** Kept, as the socket forgets it when it closes. */
  readonly #address: string;
  readonly #sink: RequestSink = {
    prepare: (requests, count) => this.client.db.fetch(requests, count),
    run: (request) => dispatch(this.client, request),
  };
  #closed = false;
  #paused = false;
  /** It is in the outbox. */
  #waking = false;
  /** Of replies that wait until the journal has what they tell of. */
  #heldBytes = 0;
  /** Commands of this connection are being run: it flushes at their end. */
  #running = false;

  constructor(accepted: Socket, shared: ConnectionShared, onClosed: () => void) {
    this.#shared = shared;
    this.#onClosed = onClosed;
    this.#parser = new RequestParser(shared.batch);
    this.client = new Client(shared.store, shared.store.nextClientId(), this);
    shared.store.statistics.connectionsReceived++;
    shared.store.clients.set(this.client.id, this.client);
    this.#fd = accepted instanceof TLSSocket ? -1 : descriptorUnder(accepted);
    this.#turns = this.#fd >= 0 && shared.native?.turns.add(this.#fd, this) === true ? shared.native.turns : undefined;
    this.#socket = this.#turns === undefined ? this.#streaming(accepted) : accepted.setNoDelay(true);
    this.#address = addressOf(this.#socket.remoteAddress, this.#socket.remotePort);
    this.#socket.on("close", () => this.#ended());
    this.#socket.on("error", () => this.#socket.destroy());
    this.#socket.on("drain", () => this.#goOn());
  }

  #streaming(accepted: Socket): Socket {
    if (accepted instanceof TLSSocket) return accepted.on("data", (chunk) => void this.#readFromStream(chunk, chunk.length));
    const { buffer } = this.#shared;
    return readingInto(accepted, { buffer, callback: (bytes) => this.#readFromStream(buffer, bytes) });
  }

  get peer(): Peer {
    const socket = this.#socket;
    return {
      address: this.#address,
      localAddress: addressOf(socket.localAddress, socket.localPort),
      queryBytes: this.#parser.pendingBytes,
      queryAllocatedBytes: this.#parser.claimedBytes,
      unsentBytes: socket.writableLength + this.#heldBytes + this.client.reply.length,
    };
  }

  readReady(): void {
    const { calls, buffer } = this.#shared.native!; // whose turns these are
    const bytes = calls.receive(this.#fd, buffer);
    if (bytes === buffer.bytes.length || bytes === EINTR) this.#turns!.again(this.#fd);
    if (bytes > 0) {
      this.#received(buffer.bytes, bytes);
      if (this.client.reply.length > COPIED_BYTES_MAX) this.flush();
      else if (this.client.reply.length > 0 || this.client.closing) this.wake();
    } else if (bytes === 0) this.close();
    else if (bytes !== EAGAIN && bytes !== EINTR) this.drop();
  }

  #readFromStream(chunk: Buffer, bytes: number): boolean {
    const { store } = this.#shared;
    store.beginBatch();
    try {
      this.#received(chunk, bytes);
    } finally {
      store.endBatch();
    }
    this.flush();
    return !this.#paused && !this.#closed;
  }

  /** Runs what has come without waiting for the event loop: a script has this thread to itself, and must be stopped. */
  poll(buffer: Buffer): void {
    if (this.#running || this.#closed || this.#paused || this.#socket.destroyed) return;
    const bytes = readNow(this.#fd, buffer);
    if (bytes <= 0) return;
    this.#received(buffer, bytes);
    this.flush();
  }

  /** Runs the commands that came. */
  #received(chunk: Buffer, bytes: number): void {
    if (this.#closed) return;
    const { statistics, requestLimits } = this.#shared.store;
    statistics.inputBytes += bytes;
    statistics.readsProcessed++;
    this.#running = true;
    try {
      this.#parser.feed(chunk, bytes, this.#sink, requestLimits, this.client.known);
    } catch (thrown) {
      this.#misspoken(thrown);
    } finally {
      this.#running = false;
    }
  }

  /** The client was blocked; commands that came meanwhile are run now. */
  resume(): void {
    if (this.#running) {
      // The command that runs has released it itself: go on after it.
      queueMicrotask(() => this.#resume());
    } else this.#resume();
  }

  #resume(): void {
    if (this.#closed || this.client.blocked !== undefined) return;
    const { postponed } = this.client;
    this.client.postponed = undefined;
    this.#running = true;
    try {
      if (postponed === undefined || this.#sink.run(postponed))
        this.#parser.resume(this.#sink, this.#shared.store.requestLimits, this.client.known);
    } catch (thrown) {
      this.#misspoken(thrown);
    } finally {
      this.#running = false;
    }
    this.wake();
  }

  #misspoken(thrown: unknown): void {
    if (!(thrown instanceof ProtocolError)) throw thrown;
    this.client.reply.error(thrown.message);
    this.client.closing = true;
  }

  wake(): void {
    if (this.#running || this.#waking) return;
    this.#waking = true;
    this.#shared.outbox.add(this);
  }

  flush(): void {
    const { reply } = this.client;
    this.#waking = false;
    if (this.#closed) return;
    if (reply.length > 0) {
      const waiting = reply.length + this.#socket.writableLength;
      if (waiting > COPIED_BYTES_MAX) {
        const { hardBytes } = outputLimitOf(this.client);
        if (hardBytes > 0 && waiting > hardBytes) return this.drop();
      }
      const { statistics, hold, tracking } = this.#shared.store;
      tracking.announce();
      statistics.outputBytes += reply.length;
      statistics.writesProcessed++;
      if (hold !== undefined && (hold.mustWait(this.client) || this.#heldBytes > 0)) this.#hold(takenFrom(reply, 0), hold);
      else {
        const sent = this.#sendNow(reply);
        if (sent === reply.length) reply.truncate();
        else this.#send(takenFrom(reply, sent));
      }
    }
    if (this.client.closing && this.#heldBytes === 0) this.close();
  }

  /** Hands replies to the kernel, past the stream, whose way is as long as that of a command: how many bytes it took. Errors are met by the stream. */
  #sendNow(reply: ReplyWriter): number {
    const { native } = this.#shared;
    if (native === undefined || this.#fd < 0 || this.#socket.writableLength > 0 || this.#socket.destroyed) return 0;
    return Math.max(0, native.calls.send(this.#fd, reply.storage, reply.length));
  }

  #send(bytes: Buffer): void {
    this.#socket.write(bytes);
    if (this.#socket.writableLength > UNSENT_BYTES_MAX) this.#pause();
  }

  #hold(bytes: Buffer, hold: ReplyHold): void {
    this.#heldBytes += bytes.length;
    hold.wait(this.client, () => this.#sendHeld(bytes));
    if (this.#heldBytes > UNSENT_BYTES_MAX || hold.full) this.#pause();
  }

  /** What these replies tell of is where it has to be. */
  #sendHeld(bytes: Buffer): void {
    this.#heldBytes -= bytes.length;
    if (this.#closed) return;
    this.#send(bytes);
    if (this.#heldBytes > 0) return;
    if (this.client.closing) this.close();
    else if (this.#paused && this.#socket.writableLength <= UNSENT_BYTES_MAX) this.#goOn();
  }

  #goOn(): void {
    if (!this.#paused || this.#closed) return;
    this.#paused = false;
    if (this.#turns === undefined) this.#socket.resume();
    else this.#turns.add(this.#fd, this);
  }

  #pause(): void {
    this.#paused = true;
    if (this.#turns === undefined) this.#socket.pause();
    else this.#turns.remove(this.#fd, this);
  }

  drop(): void {
    this.#socket.destroy();
    this.#ended();
  }

  /** Who waits is let go with the connection, which a stalled replica loses after `repl-timeout`. */
  async drained(): Promise<void> {
    this.flush();
    if (this.#closed || this.#socket.writableLength <= DRAINED_BYTES) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#socket.off("drain", done);
        this.#socket.off("close", done);
        resolve();
      };
      this.#socket.on("drain", done);
      this.#socket.on("close", done);
    });
  }

  close(): void {
    if (!this.#closed) this.#socket.end(() => this.#socket.destroy());
    this.#ended();
  }

  #ended(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#turns?.remove(this.#fd, this);
    const { store } = this.client;
    store.clients.delete(this.client.id);
    store.watches.drop(this.client);
    store.blocked.release(this.client);
    store.paused.delete(this.client);
    store.monitors.delete(this.client);
    store.pubsub.drop(this.client);
    store.tracking.stop(this.client);
    this.client.onClosed?.();
    if (this.client.replica !== undefined) store.replication?.primary.detach(this.client);
    this.#onClosed();
  }
}

/** What has come at a socket, 0 where there is nothing, or an end or error that the event loop will meet as well. */
function readNow(fd: number, buffer: Buffer): number {
  if (fd < 0) return 0;
  try {
    return readSync(fd, buffer);
  } catch {
    return 0; // nothing there
  }
}

/** The replies from there on, as a buffer of their own. */
function takenFrom(reply: ReplyWriter, from: number): Buffer {
  if (reply.length - from > COPIED_BYTES_MAX) return reply.take().subarray(from);
  const bytes = Buffer.from(reply.view(from));
  reply.truncate();
  return bytes;
}

/** As Redis writes it: `127.0.0.1:6379`, `[::1]:6379`. */
function addressOf(host: string | undefined, port: number | undefined): string {
  const plain = (host ?? "?").replace(/^::ffff:(?=\d)/, "");
  return `${plain.includes(":") ? `[${plain}]` : plain}:${port ?? 0}`;
}

/**
 * The same connection, reading into our buffer: for accepted sockets Node offers `onread` only to those who make the socket themselves, around the handle of
 * the accepted one. It saves a buffer and two events for each read: a quarter of the time of short commands.
 */
function readingInto(accepted: Socket, onread: OnReadOpts): Socket {
  const holder = accepted as unknown as { _handle: unknown };
  const handle = holder._handle;
  holder._handle = null;
  const socket = new Socket({ handle, onread, readable: true, writable: true } as ConstructorParameters<typeof Socket>[0]);
  socket.setNoDelay(true);
  socket.resume();
  socket.read(0);
  return socket;
}
