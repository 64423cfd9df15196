import type {
  Decision as WireDecision,
  ExplainTaskResponse,
  PeerExplanation,
  RejectedCandidate,
} from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import { timestampOf } from "../../wire/grpc/time.ts";
import type { PeerId } from "../model/ids.ts";
import { wireRejectionsOf } from "./api.ts";
import type { Cluster } from "./cluster.ts";
import type { TracedDecision } from "./decisions.ts";
import { isReading, taskStateOf, type Fields, type Peer, type Task } from "./state.ts";

/** Peers named in one explanation: a person reads it. Those that wait or failed come first. */
const PEERS_MAX = 200;

export interface ExplainOptions {
  /** Turns the state's time into wall time. */
  readonly epochMs: number;
  readonly schedulerId: string;
  /** Beginning of a peer id, host id or host name; empty: all. */
  readonly peer: string;
}

/** Why a task is where it is: for every peer what it was told and what spoke against the rest, and the decisions that led there. */
export function explainTask(cluster: Cluster, task: Task, { epochMs, schedulerId, peer: wanted }: ExplainOptions): ExplainTaskResponse {
  const isWanted = (peer: Peer): boolean =>
    wanted === "" || [peer.id, peer.host.facts.id, peer.host.facts.hostname].some((name) => name.startsWith(wanted));
  const fits = ({ peerId, hostname }: TracedDecision): boolean =>
    wanted === "" || peerId === undefined || peerId.startsWith(wanted) || hostname.startsWith(wanted);
  const peers = [...task.peers.values()].filter(isWanted).toSorted((a, b) => interestOf(b) - interestOf(a));
  return {
    schedulerId,
    task: {
      id: task.id,
      url: task.url,
      state: taskStateOf(task),
      contentLength: task.layout?.contentLength ?? 0,
      pieceLength: task.layout?.pieceLength ?? 0,
      pieceCount: task.layout?.pieceCount ?? 0,
      sourceReaders: task.readers.values().reduce((count, peer) => count + (isReading(peer) ? 1 : 0), 0),
      sourceQueuePlace: cluster.budget.placeOf(task),
      peerCount: task.peers.size,
    },
    peers: peers.slice(0, PEERS_MAX).map(explainPeer),
    events: task.notes.map(({ atMs, peerId, event, fields }) => ({
      at: timestampOf(epochMs + atMs),
      peerId: peerId ?? "",
      event,
      fields: textsOf(fields),
    })),
    decisions: cluster.trace
      .of(task.id)
      .filter(fits)
      .map((traced) => wireDecisionOf(traced, task.peers, epochMs)),
  };
}

const textsOf = (fields: Fields): Record<string, string> =>
  Object.fromEntries(Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])));

function wireDecisionOf({ decision, peerId, hostname, funnel }: TracedDecision, peers: Task["peers"], epochMs: number): WireDecision {
  const { atMs, kind, because, rejections } = decision;
  const timeOf = (ms: number | undefined) => (ms === undefined ? undefined : timestampOf(epochMs + ms));
  return {
    at: timestampOf(epochMs + atMs),
    peerId: peerId ?? "",
    hostname,
    kind,
    because,
    relaxation: funnel.relaxation,
    candidates: funnel.candidates,
    rejections: wireRejectionsOf(rejections),
    rejected: funnel.rejected.map((one): RejectedCandidate => ({
      peerId: one.peerId ?? "",
      hostname: one.hostname,
      rule: one.rule,
      detail: one.detail ?? "",
      times: one.times ?? 0,
      since: timeOf(one.sinceMs),
      until: timeOf(one.untilMs),
    })),
    considered: funnel.considered.map((one) => ({ ...one, peerId: one.peerId ?? "" })),
    chosenHosts: funnel.chosen.map((id) => peers.get(id as PeerId)?.host.facts.hostname ?? id),
    chosen: [...funnel.chosen],
  };
}

function explainPeer(peer: Peer): PeerExplanation {
  const { lastDecision, permit } = peer;
  return {
    peerId: peer.id,
    hostId: peer.host.facts.id,
    hostname: peer.host.facts.hostname,
    state: permit?.stalled === true ? `${peer.state} (stalled)` : peer.state,
    finishedPieces: peer.pieces.count,
    waiting: peer.waitingSinceMs !== undefined,
    seed: peer.host.facts.seed,
    rejections: wireRejectionsOf(lastDecision?.rejections ?? {}),
    parents: [...(peer.parents ?? []), ...peer.neighbours].map(({ id }) => id),
    lastDecision: lastDecision === undefined ? "" : `${lastDecision.kind}: ${lastDecision.because}`,
    sourceDenied: peer.denied ?? "",
  };
}

function interestOf(peer: Peer): number {
  if (peer.waitingSinceMs !== undefined) return 3;
  if (peer.permit !== undefined || peer.state === "failed") return 2;
  return peer.state === "succeeded" ? 0 : 1;
}
