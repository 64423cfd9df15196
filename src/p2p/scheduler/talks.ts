import { errorOf, type AnaxError } from "../../base/errors.ts";
import type { DownloadAnswer, DownloadTalk } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import type { AnnouncePeerResponse } from "../../wire/grpc/gen/scheduler/v2/scheduler.ts";
import { DETAILS_BYTES_MAX } from "../../wire/grpc/status-error.ts";
import type { HostId } from "../model/ids.ts";
import { begin, report, type DownloadIds } from "./announce-peer.ts";
import type { OpenStream, SchedulerRunner } from "./runner.ts";

interface Talk {
  readonly stream: OpenStream<AnnouncePeerResponse>;
  ids: DownloadIds | undefined;
}

const NOTHING = new Uint8Array();

/** The conversations of one host's downloads inside its Attach stream; what is wrong with one of them ends that one. */
export class Talks {
  readonly #runner: SchedulerRunner;
  readonly #hostId: HostId;
  readonly #answer: (answer: DownloadAnswer) => void;
  readonly #open = new Map<number, Talk>();
  #lastId = 0;

  constructor(runner: SchedulerRunner, hostId: HostId, answer: (answer: DownloadAnswer) => void) {
    this.#runner = runner;
    this.#hostId = hostId;
    this.#answer = answer;
  }

  take({ id, request }: DownloadTalk): void {
    const known = this.#open.get(id);
    if (request === undefined) return this.#close(id);
    if (known === undefined && id <= this.#lastId) return; // said before it heard that it was over
    try {
      const talk = known ?? this.#begin(id);
      if (talk.ids === undefined) talk.ids = begin(this.#runner, talk.stream, request, this.#hostId);
      else report(this.#runner, talk.ids, request);
    } catch (thrown) {
      this.#end(id, errorOf(thrown));
    }
  }

  /** The host's stream is gone. */
  leave(): void {
    for (const id of this.#open.keys()) this.#close(id);
  }

  /** Throws `limit.exceeded` when there are too many streams. */
  #begin(id: number): Talk {
    this.#lastId = id;
    const stream: OpenStream<AnnouncePeerResponse> = {
      id: this.#runner.newStream().id,
      send: (response) => this.#answer({ id, response, errorCode: "", errorDetails: NOTHING }),
      end: (error) => {
        if (this.#open.has(id)) this.#end(id, error);
      },
    };
    const talk: Talk = { stream, ids: undefined };
    this.#open.set(id, talk);
    return talk;
  }

  #end(id: number, error: AnaxError | undefined): void {
    const details = error === undefined ? NOTHING : Buffer.from(JSON.stringify(error.details));
    const errorDetails = details.length > DETAILS_BYTES_MAX ? NOTHING : details;
    this.#answer({ id, response: undefined, errorCode: error?.code ?? "", errorDetails });
    this.#close(id);
  }

  #close(id: number): void {
    const talk = this.#open.get(id);
    this.#open.delete(id);
    if (talk?.ids === undefined) return;
    const { stream, ids } = talk;
    // As of a stream of its own: after what is being decided just now.
    queueMicrotask(() => this.#runner.disconnectPeer(ids.peerId, stream));
  }
}
