import type { SocketPoller } from "../../disk/native-poller.ts";
import type { NativeConnections } from "../../disk/native-connections.ts";
import type { Store } from "../store.ts";
import type { Outbox } from "./outbox.ts";

/**
 * While a turn has taken less than this, whoever has sent something meanwhile is read as well: most of what a turn costs is the way through Node's event loop, which some
 * short commands do not make worthwhile.
 */
const TURN_MS = 1;
/** Others wait for the event loop, too. */
const ROUNDS_MAX = 16;

/** One that reads what has come at its socket and runs the commands in it. */
export interface Reader {
  readReady(): void;
}

/**
 * Reads of all connections at which something has come, with one look at the clock and at the sockets for all of them; what they are answered is sent at the end. And
 * again, a few times for each turn of the event loop.
 */
export class Turns implements Disposable {
  readonly #store: Store;
  readonly #outbox: Outbox;
  readonly #poller: SocketPoller;
  /** By descriptor. */
  readonly #readers: (Reader | undefined)[] = [];
  #due = false;
  readonly #turn = (): void => {
    this.#due = false;
    this.#run();
  };

  private constructor(store: Store, outbox: Outbox, poller: SocketPoller) {
    this.#store = store;
    this.#outbox = outbox;
    this.#poller = poller;
  }

  /** Undefined where the process may not have more descriptors. */
  static of(store: Store, outbox: Outbox, native: NativeConnections): Turns | undefined {
    let turns: Turns | undefined;
    const poller = native.poller(() => turns!.#ready());
    return poller === undefined ? undefined : (turns = new Turns(store, outbox, poller));
  }

  /** Not at once: what is called from there is not followed by promises and ticks. */
  #ready(): void {
    if (!this.#due) setImmediate(this.#turn);
    this.#due = true;
  }

  add(fd: number, reader: Reader): boolean {
    this.#readers[fd] = reader;
    return this.#poller.watch(fd);
  }

  /** To be called by a reader who has not read all that has come. */
  again(fd: number): void {
    this.#poller.watchAgain(fd);
  }

  /** To be called before the socket is closed. */
  remove(fd: number, reader: Reader): void {
    if (this.#readers[fd] !== reader) return; // another one's by now
    this.#readers[fd] = undefined;
    this.#poller.unwatch(fd);
  }

  #run(): void {
    const begunMs = this.#store.look();
    let left = ROUNDS_MAX;
    while (this.#round() && --left > 0 && this.#store.lookedMs - begunMs < TURN_MS);
  }

  /** False where nobody has sent anything. */
  #round(): boolean {
    const count = this.#poller.poll();
    if (count === 0) return false;
    this.#outbox.expect();
    this.#store.beginBatch();
    let done = 0;
    try {
      // One that a command has closed is not there any more.
      while (done < count) this.#readers[this.#poller.ready[done++]!]?.readReady();
    } finally {
      while (done < count) this.#poller.watchAgain(this.#poller.ready[done++]!); // one has thrown, and these are named but once
      this.#store.endBatch();
      this.#outbox.flush();
    }
    return true;
  }

  [Symbol.dispose](): void {
    this.#poller[Symbol.dispose]();
  }
}
