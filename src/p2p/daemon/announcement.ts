import { AnaxError } from "../../base/errors.ts";
import type { AnnouncePeerRequest, AnnouncePeerResponse, NormalTaskResponse } from "../../wire/grpc/gen/scheduler/v2/scheduler.ts";
import type { BidiStream } from "../../wire/grpc/client.ts";
import type { SourceReading } from "../model/types.ts";
import type { PieceSpan } from "./source-share.ts";
import { neighbourOfferOf, parentOfferOf, readerKeysOf, type NeighbourOffer, type ParentOffer, type TaskFacts } from "./api.ts";

/** Parts of a source named in one answer. */
const SPANS_MAX = 64;
/** Named in one answer; no scheduler of ours names as many. */
const NEIGHBOURS_MAX = 1024;

export type Report = NonNullable<AnnouncePeerRequest["request"]>;

/** What the scheduler says to a download. */
export type Decision =
  | {
      readonly kind: "parents";
      readonly parents: readonly ParentOffer[];
      /** Of a scheduler of ours: all peers to trade with from now on. */
      readonly neighbours: readonly NeighbourOffer[];
      /** Raw Ed25519 public keys of the hosts that had leave to read the source, newest last. */
      readonly readerKeys: readonly Uint8Array[];
      /** Hosts that are not ours are in the cluster. */
      readonly foreignHosts: boolean;
      readonly facts: TaskFacts;
      readonly rejections: string;
    }
  | {
      readonly kind: "source";
      readonly reason: string;
      readonly foreignHosts: boolean;
      /** What is to be read, in place of what was named before; none: everything. */
      readonly spans: readonly PieceSpan[];
    }
  /** Nothing yet, and it is in order to wait on. */
  | { readonly kind: "wait"; readonly reason: string }
  | { readonly kind: "empty-content" };

/** One download's stream to its scheduler. */
export interface Announcement extends Disposable {
  readonly scheduler: string;
  /** Our own kind of scheduler: it places a download before its length is known, and pushes parents when they appear. */
  readonly ours: boolean;
  /** Reports are sent in order; one that cannot be sent shows as the end of `decisions`. */
  send(report: Report): void;
  /** Ends when the scheduler has closed the stream; throws why it broke. Iterate once. */
  readonly decisions: AsyncIterable<Decision>;
  /** Nothing more will be sent. */
  close(): void;
}

export interface AnnounceOptions {
  /** Ends the stream. */
  readonly signal: AbortSignal;
  /** For the heartbeats, which tell how far the download is. */
  readonly sourceReading: () => SourceReading | undefined;
  /** Ends the wait for a scheduler. */
  readonly waitSignal: AbortSignal;
  /** How long to wait for a scheduler while all are down. */
  readonly waitMs?: number | undefined;
}

export function announcementOf(
  stream: BidiStream<AnnouncePeerRequest, AnnouncePeerResponse>,
  who: {
    readonly hostId: string;
    readonly taskId: string;
    readonly peerId: string;
    readonly scheduler: string;
    readonly ours: boolean;
    readonly release: () => void;
  },
): Announcement {
  const { hostId, taskId, peerId, scheduler, ours, release } = who;
  return {
    scheduler,
    ours,
    send(request) {
      stream.send({ hostId, taskId, peerId, request }).catch(() => undefined); // its reader hears of it
    },
    decisions: decisionsOf(stream.responses),
    close: () => stream.close(),
    [Symbol.dispose]() {
      stream[Symbol.dispose]();
      release();
    },
  };
}

async function* decisionsOf(responses: AsyncIterable<AnnouncePeerResponse>): AsyncGenerator<Decision> {
  for await (const { response } of responses) {
    switch (response?.$case) {
      case "emptyTaskResponse":
        yield { kind: "empty-content" };
        break;
      case "normalTaskResponse":
        yield response.value.waiting === "" ? parentsOf(response.value) : { kind: "wait", reason: response.value.waiting };
        break;
      case "needBackToSourceResponse":
        yield {
          kind: "source",
          reason: response.value.description ?? "",
          foreignHosts: response.value.foreignHosts,
          spans: response.value.spans.slice(0, SPANS_MAX),
        };
        break;
      case "metadataOnlyResponse":
        break;
      case undefined:
        throw new AnaxError("rpc.internal", { reason: "an answer of the scheduler that is none" });
    }
  }
}

function parentsOf(response: NormalTaskResponse): Decision {
  const { candidateParents, neighbours, readerKeys, foreignHosts, rejections, contentLength, pieceLength, digest } = response;
  const offers = neighbours
    .slice(0, NEIGHBOURS_MAX)
    .map(neighbourOfferOf)
    .filter((offer) => offer !== undefined);
  return {
    kind: "parents",
    parents: candidateParents.map(parentOfferOf).filter((offer) => offer !== undefined),
    neighbours: offers,
    readerKeys: readerKeysOf(readerKeys),
    foreignHosts,
    facts: { contentLength, pieceLength, digest },
    rejections: rejections.map(({ rule, count }) => `${rule} ${count}`).join(", "),
  };
}
