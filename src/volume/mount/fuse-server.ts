import { read as readCallback, readSync, writeSync } from "node:fs";
import { promisify } from "node:util";
import { mayRepeat, backoffMs, type Backoff } from "../../base/retry.ts";
import type { Clock } from "../../base/clock.ts";
import type { RequestWait } from "../../disk/request-wait.ts";
import { errorOf, systemCodeOf, type AnaxError } from "../../base/errors.ts";
import { createRandom } from "../../base/random.ts";
import { ERRNO } from "../../wire/fuse/errno.ts";
import { writeBytesIn } from "../../wire/fuse/bodies.ts";
import { OPCODE } from "../../wire/fuse/protocol.ts";
import { FuseReply, OUT_HEADER_BYTES } from "../../wire/fuse/reply.ts";
import { FuseError, FuseRequest } from "../../wire/fuse/request.ts";
import { isPending, NO_REQUEST, type Answer } from "../meta/verbs.ts";
import { andThen } from "./answer.ts";
import { CHANGES, CONTENT, ENDS, HANDLERS, IO_BYTES_MAX, SETTLES } from "./handlers.ts";
import type { EndReason } from "./messages.ts";
import type { MountCounts } from "./mount-counts.ts";
import { NO_REPLY, type Handler, type ServedMount } from "./served-mount.ts";

const read = promisify(readCallback);

/** Requests that wait for an engine elsewhere at once; more are left with the kernel. */
const SLOTS_MAX = 64;
/** The kernel wants room for the largest write with its headers. */
const SLOT_BYTES = IO_BYTES_MAX + 4096;
/** So long the next request is waited for without sleeping; longer than a program takes between two calls. */
const BUSY_WAIT_US = 200;
/** What waits for another session's file asks so often, whether or not it hears that it is free. */
const LEASED_MS = 500;
const RETRY: Backoff = { attemptsMax: Number.POSITIVE_INFINITY, firstMs: 50, maxMs: 2000 };

/** A request on its way, with the buffer for its answer. */
interface Slot {
  readonly request: FuseRequest;
  readonly reply: FuseReply;
  startedMs: number;
  attempts: number;
  /** Was answered already, with EINTR. */
  abandoned: boolean;
}

export interface FuseServerOptions {
  readonly fd: number;
  readonly clock: Clock;
  readonly operationTimeoutMs: number;
  /** Called after each request and each time that the thread was woken, for whatever else it has to do. */
  readonly onTurn: (nowMs: number) => Answer<unknown>;
  readonly onFault: (op: number, error: AnaxError) => void;
  readonly onWell: () => void;
  readonly onNotExist: (error: AnaxError) => void;
  /** A request waits for a file that another session holds; `free` lets it try again. */
  readonly onLeased: (ino: number, session: number) => void;
  readonly counts: MountCounts;
  /** Undefined: it sleeps in the read, where only a request wakes it. */
  readonly wait: RequestWait | undefined;
}

/**
 * Answers the requests of one mount. While nothing waits for an engine elsewhere it blocks until there is one and answers inline, which costs the least;
 * while something waits it does that through the event loop. The thread is its own: nothing else may have to go on there.
 */
export class FuseServer {
  readonly #options: FuseServerOptions;
  readonly #free: Slot[] = [];
  readonly #pending = new Map<number, Slot>();
  readonly #small = new FuseReply(Buffer.alloc(OUT_HEADER_BYTES));
  readonly #random = createRandom();
  #mount!: ServedMount;
  /** Those that wait for a file that another session holds, with what makes them try again. */
  readonly #leased = new Map<Slot, Disposable>();
  #slots = 0;
  /** What goes on beside requests, and needs the event loop. */
  #alongside = 0;
  #faulty = false;
  /** The last request came soon after the one before. */
  #quick = false;
  #slotFreed: PromiseWithResolvers<void> | undefined;

  constructor(options: FuseServerOptions) {
    this.#options = options;
  }

  /** Until the kernel ends the mount. */
  async serve(mount: ServedMount): Promise<EndReason> {
    this.#mount = mount;
    const { state } = mount;
    for (;;) {
      const slot = this.#free.pop() ?? (await this.#newSlot());
      const blocking = this.#pending.size + this.#alongside === 0;
      const received = blocking ? this.#read(slot) : await this.#readLater(slot);
      if (typeof received === "string") return received;
      const nowMs = this.#options.clock.nowMs();
      if (received === 0 || !slot.request.take(received)) this.#free.push(slot);
      else {
        if (state.get("unsettled") === 0 && SETTLES.has(slot.request.opcode)) state.announce("unsettled", 1);
        slot.startedMs = nowMs;
        slot.attempts = 0;
        slot.abandoned = false;
        this.#process(slot);
      }
      const turn = this.#options.onTurn(nowMs);
      if (isPending(turn)) await turn;
    }
  }

  /** Something goes on that no request waits for. Never rejects; failures are reported. */
  async alongside(work: Promise<unknown>): Promise<void> {
    this.#alongside++;
    try {
      await work;
    } catch (thrown) {
      this.report(thrown);
    } finally {
      this.#alongside--;
    }
  }

  /** Files that others held may be free. */
  free(): void {
    for (const [slot, retry] of this.#leased) {
      this.#leased.delete(slot);
      retry[Symbol.dispose]();
      this.#process(slot);
    }
  }

  /** Answers a request that was left unanswered. */
  answerLater(unique: number, errno: number): void {
    this.#small.clear();
    this.#send(this.#small, unique, errno);
  }

  /** Whoever asked has been interrupted. What changes something goes on, since nobody could tell whether it happened. */
  interrupt(unique: number): void {
    const slot = this.#pending.get(unique);
    if (slot === undefined || slot.abandoned || CHANGES.has(slot.request.opcode)) return;
    slot.abandoned = true;
    this.answerLater(unique, ERRNO.EINTR);
  }

  /** Something failed that nobody waits for. */
  report(thrown: unknown): void {
    const error = errorOf(thrown);
    if (error.code === "volume.not-exist") return this.#options.onNotExist(error);
    this.#faulty = true;
    this.#options.onFault(0, error);
  }

  /** 0: there is no request. */
  #read({ request }: Slot): number | EndReason {
    const { fd, wait } = this.#options;
    try {
      if (wait !== undefined && !(this.#quick && wait.readable(BUSY_WAIT_US))) {
        const startedMs = performance.now();
        const ready = wait.sleep();
        this.#quick = performance.now() - startedMs < BUSY_WAIT_US / 1000;
        if (!ready) return 0;
      }
      return readSync(fd, request.bytes, 0, request.bytes.length, null);
    } catch (thrown) {
      return endOf(thrown);
    }
  }

  async #readLater({ request }: Slot): Promise<number | EndReason> {
    const { fd, wait } = this.#options;
    try {
      if (wait === undefined) return (await read(fd, request.bytes, 0, request.bytes.length, null)).bytesRead;
      return (await wait.sleepLater()) ? readSync(fd, request.bytes, 0, request.bytes.length, null) : 0;
    } catch (thrown) {
      return endOf(thrown);
    }
  }

  async #newSlot(): Promise<Slot> {
    while (this.#slots === SLOTS_MAX) {
      this.#slotFreed = Promise.withResolvers();
      await this.#slotFreed.promise;
      const freed = this.#free.pop();
      if (freed !== undefined) return freed;
    }
    this.#slots++;
    const request = new FuseRequest(Buffer.allocUnsafeSlow(SLOT_BYTES));
    const reply = new FuseReply(Buffer.allocUnsafeSlow(SLOT_BYTES));
    return { request, reply, startedMs: 0, attempts: 0, abandoned: false };
  }

  #process(slot: Slot): void {
    this.#mount.state.add("served", 1); // a sign of life for each attempt: an engine may take its time for every one
    try {
      slot.reply.clear();
      const answer = this.#handle(slot);
      if (!isPending(answer)) return this.#finish(slot, answer);
      this.#pend(slot);
      answer.then(
        (errno) => this.#finish(slot, errno),
        (thrown: unknown) => this.#failed(slot, thrown),
      );
    } catch (thrown) {
      this.#failed(slot, thrown);
    }
  }

  #handle(slot: Slot): Answer<number> {
    const { request, reply } = slot;
    const { opcode } = request;
    const { state } = this.#mount;
    const handler = HANDLERS[opcode];
    if (handler === undefined) return ERRNO.ENOSYS;
    if (state.get("fenced") === 1 && !ENDS.has(opcode)) return errnoOfGone(opcode);
    if (state.get("readOnly") === 1 && CHANGES.has(opcode)) return ERRNO.EROFS;
    const answer = CHANGES.has(opcode) ? this.#change(handler, slot) : handler(this.#mount, request, reply);
    return this.#mount.leases.shared && SETTLES.has(opcode) ? andThen(answer, (errno) => this.#seen(errno)) : answer;
  }

  #change(handler: Handler, { request, reply }: Slot): Answer<number> {
    const { verbs } = this.#mount;
    verbs.asRequest(request.unique); // it may be tried again
    try {
      return handler(this.#mount, request, reply);
    } finally {
      verbs.asRequest(NO_REQUEST);
    }
  }

  /** Others see what was done before whoever asked for it hears that it is. Then it must not be tried again: EIO where that cannot be told. */
  #seen(errno: number): Answer<number> {
    const failed = (thrown: unknown): number => {
      this.report(thrown);
      return errno === 0 ? ERRNO.EIO : errno;
    };
    try {
      const seen = this.#mount.leases.finish();
      return isPending(seen) ? seen.then(() => errno, failed) : errno;
    } catch (thrown) {
      return failed(thrown);
    }
  }

  #finish(slot: Slot, errno: number): void {
    const { request, reply } = slot;
    if (this.#pending.delete(request.unique)) {
      this.#mount.state.set("pending", this.#pending.size);
      if (this.#pending.size === 0) void this.settle(); // the next request, which would see to it, may be long in coming
    }
    if (this.#faulty) {
      this.#faulty = false;
      this.#options.onWell();
    }
    this.#mount.state.add("served", 1);
    this.#count(slot, errno);
    if (errno !== NO_REPLY && !slot.abandoned) this.#send(reply, request.unique, errno);
    this.#release(slot);
  }

  #count({ request, reply, startedMs }: Slot, errno: number): void {
    const { counts, clock } = this.#options;
    counts.count(request.opcode, errno, clock.nowMs() - startedMs);
    if (errno !== 0) return;
    if (request.opcode === OPCODE.read) counts.add("readBytes", reply.length - OUT_HEADER_BYTES);
    else if (request.opcode === OPCODE.write) counts.add("writtenBytes", writeBytesIn(request));
  }

  #release(slot: Slot): void {
    this.#free.push(slot);
    this.#slotFreed?.resolve();
  }

  #pend(slot: Slot): void {
    this.#pending.set(slot.request.unique, slot);
    this.#mount.state.set("pending", this.#pending.size);
  }

  /** What passes is tried again until the operation's time is over. */
  #failed(slot: Slot, thrown: unknown): void {
    if (thrown instanceof FuseError) return this.#finish(slot, thrown.errno);
    const error = errorOf(thrown);
    const { opcode } = slot.request;
    if (error.code === "volume.not-exist") {
      this.#options.onNotExist(error);
      return this.#finish(slot, errnoOfGone(opcode));
    }
    if (mayRepeat(error) && !slot.abandoned && this.#options.clock.nowMs() - slot.startedMs < this.#options.operationTimeoutMs) {
      this.#pend(slot);
      if (error.code === "volume.leased") return this.#awaitLease(slot, error);
      slot.attempts++;
      this.#options.clock.timer(backoffMs(slot.attempts, RETRY, this.#random), () => this.#process(slot));
      return;
    }
    this.#finish(slot, error.code === "disk.full" ? ERRNO.ENOSPC : ERRNO.EIO);
    this.#faulty = true;
    this.#options.onFault(opcode, error);
  }

  #awaitLease(slot: Slot, { details }: AnaxError): void {
    const again = (): void => {
      this.#leased.delete(slot);
      this.#process(slot);
    };
    this.#leased.set(slot, this.#options.clock.timer(LEASED_MS, again));
    this.#options.onLeased(Number(details["ino"]), Number(details["session"]));
  }

  /** Changes of others' and the kernel's ends of connections come in between: neither is anything to be told here. */
  #send(reply: FuseReply, unique: number, errno: number): void {
    const length = reply.finish(unique, errno);
    try {
      writeSync(this.#options.fd, reply.bytes, 0, length);
    } catch (thrown) {
      const code = systemCodeOf(thrown);
      if (code !== "ENOENT" && code !== "ENODEV" && code !== "ECONNABORTED") this.#options.onFault(0, errorOf(thrown));
    }
  }

  /** Ends the open group of changes, so that others see them. */
  async settle(): Promise<void> {
    this.#mount.state.announce("unsettled", 0);
    try {
      await this.#mount.verbs.settle(false);
    } catch (thrown) {
      this.report(thrown);
    }
  }
}

/** What is answered once the volume is gone, or is said to be: nobody may take it for an answer about one file. */
const errnoOfGone = (opcode: number): number => (CONTENT.has(opcode) ? ERRNO.EIO : ERRNO.ESTALE);

/** What reading the device says when it has nothing to be read: interrupted requests (0: go on), or the end. */
function endOf(thrown: unknown): 0 | EndReason {
  switch (systemCodeOf(thrown)) {
    case "ENOENT": // interrupted before it was read
    case "EINTR":
    case "EAGAIN":
      return 0;
    case "ENODEV":
      return "unmounted";
    case "ECONNABORTED":
      return "aborted";
    case undefined:
    default:
      throw thrown;
  }
}
