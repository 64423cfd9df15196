import { connect, type Socket } from "node:net";
import type { BufferPool } from "../../../base/buffer-pool.ts";
import type { Clock } from "../../../base/clock.ts";
import { AnaxError, systemCodeOf } from "../../../base/errors.ts";
import { encodeDownloadPiece, malformed } from "../../../wire/vortex/codec.ts";
import { createResponseHeadParser, type ResponseHead } from "../../../wire/vortex/response-parser.ts";
import type { RateLimits } from "../rates/types.ts";
import type { TransferConfig } from "./config.ts";
import { remoteErrorOf, type Exchange } from "./exchange.ts";
import { ReceiveLane } from "./receive-lane.ts";
import type { ParentAddress } from "./types.ts";
import { Watchdog } from "./watchdog.ts";

export interface ConnectionOptions {
  readonly parent: ParentAddress;
  readonly config: TransferConfig;
  readonly clock: Clock;
  readonly buffers: BufferPool;
  readonly limits: RateLimits;
  /** Nothing is under way any more. */
  readonly onIdle: () => void;
  /** No further request is taken. */
  readonly onEnded: () => void;
  /** The socket is closed and its resources are free. */
  readonly onClosed: () => void;
}

/** Where heads land, and whatever of a body comes with them (which is copied once). Bytes. */
const SMALL_BYTES = 16 * 1024;

/**
 * One connection to a parent. Requests are pipelined and answered in order; the bytes of pieces go from the socket straight into
 * a receive lane and from there to the writer. The socket is paused while no lane has room, and while what it brought is above a rate limit.
 *
 * Node lets a socket read into our memory (`onread`), but asks where only right after each read. Hence the one rule that keeps a buffer from
 * being read into after it was given back: a lane is only let go of in `#advance`, which runs where that question follows, or while paused with
 * the small buffer as the answer.
 */
export class ParentConnection {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #watchdog: Watchdog<"connect" | "head" | "body" | "idle">;
  readonly #parser = createResponseHeadParser();
  /** In the order in which they were sent; the first is the one that is being answered. */
  readonly #exchanges: Exchange[] = [];
  readonly #small = Buffer.allocUnsafeSlow(SMALL_BYTES);
  /** Bytes in the small buffer that nobody has looked at. */
  #smallFrom = 0;
  #smallTo = 0;
  #readingIntoLane = false;
  #body: { readonly exchange: Exchange; restBytes: number } | undefined;
  #lane: ReceiveLane | undefined;
  #waitsForLane = false;
  /** What was received has to be paid for, out of a limit that is used up. */
  #owes = false;
  /** Ends all waiting for lanes and limits. */
  readonly #waits = new AbortController();
  #paused = false;
  #connected = false;
  #ended = false;
  #closed = false;
  #cause: Error | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#watchdog = new Watchdog(options.clock, (what, afterMs) =>
      this.#end(this.#unavailable(`timeout: ${what}`, { afterMs }), { failsFirst: true }),
    );
    const { ip: host, port } = options.parent;
    this.#socket = connect({
      host,
      port,
      noDelay: true,
      onread: { buffer: () => this.#target(), callback: (bytes) => this.#received(bytes) },
    });
    this.#watchdog.watch("connect", options.config.fetchConnectMs);
    this.#socket.once("connect", () => {
      this.#connected = true;
      this.#watch();
    });
    this.#socket.once("end", () => this.#end(this.#unavailable("the parent closed the connection")));
    this.#socket.on("error", (error) => (this.#cause ??= error));
    this.#socket.once("close", () => this.#onClose());
  }

  get inFlight(): number {
    return this.#exchanges.length;
  }

  /** Sends a request; its exchange is settled in any case. */
  request(exchange: Exchange): void {
    if (this.#ended) return exchange.lose(this.#unavailable("the connection has just ended"), true);
    this.#exchanges.push(exchange);
    exchange.onAbandoned = () => this.#onAbandoned(exchange);
    this.#socket.write(
      encodeDownloadPiece({ kind: "standard", id: exchange.index & 0xff, taskId: exchange.taskId, pieceNumber: exchange.index }),
    );
    if (this.#exchanges.length === 1 && !this.#socket.connecting) this.#watch();
  }

  /** Ends the connection at once: what has begun fails with this error, the rest is lost. */
  close(because: AnaxError): void {
    this.#end(because, { deliberate: true });
  }

  #received(bytes: number): boolean {
    if (this.#ended) return false;
    this.#watchdog.touch();
    if (this.#readingIntoLane) this.#filled(bytes);
    else this.#smallTo += bytes;
    this.#pay(bytes);
    this.#paused = !this.#tryAdvance() || this.#owes;
    if (this.#paused) this.#watchdog.rest(); // it is us who are slow
    return !this.#paused;
  }

  /** Where the next read goes. Only asked for right after `#received`, and once in the beginning. */
  #target(): Buffer {
    const idle = this.#paused || this.#ended || !this.#wantsBytes();
    const room = idle ? undefined : this.#lane?.room(this.#turnBytes(this.#body!.restBytes)); // wanting bytes means having a body
    this.#readingIntoLane = room !== undefined;
    return room ?? this.#small;
  }

  #turnBytes(restBytes: number): number {
    return Math.min(restBytes, this.#options.limits.downloadTurnBytes);
  }

  /** Accounts for what has come: for the piece that is on its way, or the one that begins. Bytes for nobody are small change. */
  #pay(bytes: number): void {
    const exchange = this.#body?.exchange ?? this.#exchanges[0];
    const { limits } = this.#options;
    if (exchange === undefined || limits.tryDownload(exchange.taskId, exchange.priority, bytes)) return;
    void this.#waitForLimit(exchange, bytes);
  }

  async #waitForLimit({ taskId, priority }: Exchange, bytes: number): Promise<void> {
    this.#owes = true;
    try {
      await this.#options.limits.download(taskId, priority, bytes, this.#waits.signal);
    } catch (thrown) {
      this.#end(thrown as AnaxError); // too many wait, or this connection has ended already
    }
    this.#owes = false;
    this.#resume();
  }

  #wantsBytes(): boolean {
    return this.#body !== undefined && !this.#body.exchange.settled;
  }

  /** Goes on after a pause, once a lane has room again. */
  #resume(): void {
    if (!this.#paused || this.#owes || this.#ended || !this.#tryAdvance()) return;
    this.#paused = false;
    this.#watch();
    this.#socket.resume();
  }

  #tryAdvance(): boolean {
    try {
      return this.#advance();
    } catch (thrown) {
      // Bytes that are no answer are the answer to the first request: it is not asked again.
      this.#end(thrown as AnaxError, { failsFirst: true }); // the parsers throw nothing else
      return false;
    }
  }

  /** Works through what has been read. False: no more may be read until a lane has room. */
  #advance(): boolean {
    while (!this.#ended) {
      if (this.#body === undefined) {
        if (this.#unread() === 0) return true;
        this.#readHead();
      } else if (this.#body.restBytes === 0) {
        this.#endBody();
      } else if (this.#body.exchange.settled) {
        this.#letGoOfLane();
        if (this.#unread() === 0) return true;
        this.#skip();
      } else {
        const room = this.#roomInLane(this.#body.restBytes);
        if (room === undefined) return false;
        if (this.#unread() === 0) return true;
        this.#filled(this.#small.copy(room, 0, this.#smallFrom, this.#smallTo), true);
      }
    }
    return false;
  }

  #unread(): number {
    const bytes = this.#smallTo - this.#smallFrom;
    if (bytes === 0) this.#smallFrom = this.#smallTo = 0;
    return bytes;
  }

  #readHead(): void {
    if (this.#exchanges.length === 0) throw malformed("an answer without a request");
    const parsed = this.#parser.feed(this.#small.subarray(this.#smallFrom, this.#smallTo));
    this.#smallFrom = parsed === undefined ? this.#smallTo : this.#smallFrom + parsed.consumedBytes;
    if (parsed !== undefined) this.#answered(this.#exchanges[0]!, parsed.head); // there is one
  }

  #answered(exchange: Exchange, head: ResponseHead): void {
    if (head.type === "close") {
      this.#end(this.#unavailable("the parent said goodbye"));
    } else if (head.type === "error") {
      exchange.fail(remoteErrorOf(head));
      this.#next();
    } else {
      if (head.kind !== "standard") throw malformed("another kind of piece than the one asked for");
      exchange.begin(head);
      this.#body = { exchange, restBytes: head.length };
      this.#watchdog.watch("body", this.#options.config.fetchStallMs);
      if (exchange.settled) this.#skipOrClose(head.length);
    }
  }

  /** Bytes of the piece are in the lane (from the small buffer or from the socket), or came for nobody. */
  #filled(bytes: number, copied = false): void {
    const body = this.#body!; // only called with one
    if (copied) this.#smallFrom += bytes;
    body.restBytes -= bytes;
    if (body.exchange.settled) return;
    this.#lane!.took(bytes); // room was taken from it
    if (this.#lane!.full || body.restBytes === 0) this.#flush(body.exchange);
  }

  #flush(exchange: Exchange): void {
    const { bytes, release } = this.#lane!.take();
    exchange.write(bytes, () => {
      release();
      this.#resume();
    });
  }

  #skip(): void {
    const body = this.#body!; // only called with one
    const bytes = Math.min(body.restBytes, this.#smallTo - this.#smallFrom);
    this.#smallFrom += bytes;
    body.restBytes -= bytes;
  }

  #endBody(): void {
    this.#body?.exchange.complete();
    this.#body = undefined;
    this.#next();
    // After every piece others may have the lane; one with bytes of an abandoned piece in it is of no use anyway.
    const keep = this.#exchanges.length > 0 && this.#options.buffers.waiting === 0 && this.#lane?.empty === true;
    if (!keep) this.#letGoOfLane();
  }

  /** The first request is answered. */
  #next(): void {
    this.#exchanges.shift();
    this.#watch();
    if (!this.#options.parent.keepsConnection) this.#end(this.#unavailable("one piece per connection"), { deliberate: true });
    else if (this.#exchanges.length === 0) this.#options.onIdle();
  }

  #watch(): void {
    const { fetchHeadMs, fetchStallMs, fetchIdleMs } = this.#options.config;
    if (this.#ended || this.#paused) return; // while it is us who are slow, nobody else is late
    if (this.#body !== undefined) this.#watchdog.watch("body", fetchStallMs);
    else if (this.#exchanges.length > 0) this.#watchdog.watch("head", fetchHeadMs);
    else this.#watchdog.watch("idle", fetchIdleMs);
  }

  #roomInLane(bytesMax: number): Buffer | undefined {
    if (this.#lane === undefined) {
      const buffer = this.#options.buffers.waiting > 0 ? undefined : this.#options.buffers.tryTake();
      if (buffer === undefined) {
        void this.#waitForLane();
        return undefined;
      }
      this.#lane = new ReceiveLane(buffer);
    }
    return this.#lane.room(bytesMax);
  }

  async #waitForLane(): Promise<void> {
    if (this.#waitsForLane) return;
    this.#waitsForLane = true;
    try {
      const lane = new ReceiveLane(await this.#options.buffers.take(this.#waits.signal));
      if (this.#ended) lane.retire();
      else this.#lane = lane;
    } catch (thrown) {
      this.#end(thrown as AnaxError); // the line is full, or this connection has ended already
    } finally {
      this.#waitsForLane = false;
    }
    this.#resume();
  }

  #letGoOfLane(): void {
    this.#lane?.retire();
    this.#lane = undefined;
  }

  #onAbandoned(exchange: Exchange): void {
    if (this.#ended) return;
    if (this.#body?.exchange === exchange) this.#skipOrClose(this.#body.restBytes);
    else if (this.#exchanges.every((each) => each.settled)) this.#end(this.#unavailable("given up"), { deliberate: true });
    this.#resume();
  }

  /** Reading a little for nothing is cheaper than a new connection; reading much is not. */
  #skipOrClose(restBytes: number): void {
    if (restBytes > this.#options.config.fetchDrainBytesMax) this.#end(this.#unavailable("given up"), { deliberate: true });
  }

  #end(because: AnaxError, how: { readonly deliberate?: boolean; readonly failsFirst?: boolean } = {}): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#watchdog[Symbol.dispose]();
    this.#socket.destroy(); // from here on nothing is read into the lane
    this.#waits.abort(because);
    this.#letGoOfLane();
    const begun = this.#body?.exchange;
    this.#body = undefined;
    for (const [place, exchange] of this.#exchanges.splice(0).entries()) {
      const fails = !this.#connected || exchange === begun || (place === 0 && how.failsFirst === true);
      if (fails) exchange.fail(because);
      else exchange.lose(because, how.deliberate === true);
    }
    this.#options.onEnded();
  }

  #onClose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#end(this.#unavailable(systemCodeOf(this.#cause) ?? "the connection broke"));
    this.#options.onClosed();
  }

  #unavailable(reason: string, details: Readonly<Record<string, number>> = {}): AnaxError {
    const { ip, port } = this.#options.parent;
    return new AnaxError("rpc.unavailable", { parent: `${ip}:${port}`, reason, ...details }, { cause: this.#cause });
  }
}
