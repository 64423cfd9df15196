import { AnaxError } from "../../base/errors.ts";
import type { BidiStream } from "../../wire/grpc/client.ts";
import type { DownloadAnswer, DownloadTalk } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import type { AnnouncePeerRequest, AnnouncePeerResponse } from "../../wire/grpc/gen/scheduler/v2/scheduler.ts";
import { errorOfCall } from "../../wire/grpc/status-error.ts";

const METHOD = "/anax.v1.Scheduler/Attach";
const UNKNOWN = 2;
/** Answers that wait for one download. What a scheduler says replaces what it said before, so of too many the oldest go. */
const WAITING_MAX = 64;

/** Made once: a fresh error for each of many small files is a cost of its own. */
const ENDED = new AnaxError("rpc.cancelled", { method: METHOD, reason: "the conversation has ended" });

interface Talk {
  readonly waiting: AnnouncePeerResponse[];
  wake: (() => void) | undefined;
  /** Set when the conversation is over; without a reason it ended well. */
  over: { readonly reason: Error | undefined } | undefined;
}

/** The conversations of all downloads with one scheduler of ours, inside the stream of this host. */
export class Talks {
  readonly #open = new Map<number, Talk>();
  #ids = 0;
  #say: ((talk: DownloadTalk) => void) | undefined;

  /** There is a stream for them. */
  get ready(): boolean {
    return this.#say !== undefined;
  }

  connect(say: (talk: DownloadTalk) => void): void {
    this.#say = say;
  }

  /** The stream is gone, and with it all that was said. */
  disconnect(reason: Error): void {
    this.#say = undefined;
    for (const id of this.#open.keys()) this.#end(id, reason);
  }

  hear({ id, response, errorCode, errorDetails }: DownloadAnswer): void {
    const talk = this.#open.get(id);
    if (talk === undefined) return; // it does not listen any more
    if (response !== undefined) {
      talk.waiting.push(response);
      if (talk.waiting.length > WAITING_MAX) talk.waiting.shift();
      talk.wake?.();
    } else if (errorCode === "") this.#end(id, undefined);
    else this.#end(id, errorOfCall({ code: UNKNOWN, message: "", ownCode: errorCode, ownDetails: Buffer.from(errorDetails) }, METHOD));
  }

  /** A new conversation, to be used as if it had a stream of its own. Needs `ready`. */
  begin(signal: AbortSignal): BidiStream<AnnouncePeerRequest, AnnouncePeerResponse> {
    const id = ++this.#ids;
    const talk: Talk = { waiting: [], wake: undefined, over: undefined };
    this.#open.set(id, talk);
    const onAbort = (): void => this.#leave(id, signal.reason as Error);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    return {
      send: async (request) => {
        if (talk.over !== undefined || this.#say === undefined) throw talk.over?.reason ?? ENDED;
        this.#say({ id, request });
      },
      responses: { [Symbol.asyncIterator]: () => answersOf(talk) },
      close: () => undefined, // the scheduler ends a conversation after the last report
      [Symbol.dispose]: () => {
        signal.removeEventListener("abort", onAbort);
        this.#leave(id, ENDED);
      },
    };
  }

  /** This side has heard enough. */
  #leave(id: number, reason: Error): void {
    if (!this.#open.has(id)) return;
    this.#end(id, reason);
    this.#say?.({ id, request: undefined });
  }

  #end(id: number, reason: Error | undefined): void {
    const talk = this.#open.get(id);
    this.#open.delete(id);
    if (talk === undefined) return;
    talk.over = { reason };
    talk.wake?.();
  }
}

async function* answersOf(talk: Talk): AsyncGenerator<AnnouncePeerResponse> {
  for (;;) {
    const next = talk.waiting.shift();
    if (next !== undefined) yield next;
    else if (talk.over !== undefined) break;
    else await new Promise<void>((resolve) => void (talk.wake = resolve));
  }
  if (talk.over.reason !== undefined) throw talk.over.reason;
}
