import type { MeshUpdate } from "../../../wire/grpc/gen/anax/v1/peer.ts";
import type { BlockAddress } from "./block-client.ts";
import type { BlockConnection } from "./block-connection.ts";
import type { ControlLink } from "./control-link.ts";
import type { Complainant } from "./doubts.ts";

/** Another peer of a task with which this one trades. */
export interface Neighbour extends Complainant {
  readonly peerId: string;
  readonly hostId: string;
  readonly distance: number;
  readonly address: BlockAddress;
  /** Streams about this task; either side may have opened one. */
  readonly links: Set<ControlLink>;
  /** Tells it that there is a free slot; one function for its lifetime, so that it stands in line once. */
  readonly callFree: () => void;
  /** Of the content that it was sent last; 0 before the first. */
  toldGeneration: number;
  /** Carries what changes of that; undefined: a stream does. */
  toldOver: BlockConnection | undefined;
  /** Of the content that it sent last. */
  heardGeneration: number;
  /** Updates that came sooner than the content that they change. */
  readonly early: MeshUpdate[];
  /** It has said what the content is and what it has of it. */
  known: boolean;
  /** It has pieces for whoever waits for any. */
  unique: boolean;
  /** A request for any piece is open there. */
  waiting: boolean;
  /** None is opened before. */
  waitAgainMs: number;
  /** Pieces on their way from us to it. */
  sending: number;
  /** Pieces that it gave us, and such that were not what they were said to be. */
  given: number;
  damaged: number;
  falseAlarms: number;
  /** Failures in a row, of which the last was then; requests that were on their way by then are not counted again. */
  failures: number;
  failedMs: number;
}
