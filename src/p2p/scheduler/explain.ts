import type { ExplainTaskResponse, PeerExplanation } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import { timestampOf } from "../../wire/grpc/time.ts";
import { wireRejectionsOf } from "./api.ts";
import { isReading, taskStateOf, type Fields, type Peer, type Task } from "./state.ts";

/** Peers named in one explanation: a person reads it. Those that wait or failed come first. */
const PEERS_MAX = 200;

/**
 * Why a task is where it is: for every peer what it was told and what spoke against the rest. `epochMs` turns the state's time into wall
 * time.
 */
export function explainTask(task: Task, about: { readonly epochMs: number; readonly schedulerId: string }): ExplainTaskResponse {
  const peers = [...task.peers.values()].toSorted((a, b) => interestOf(b) - interestOf(a)).slice(0, PEERS_MAX);
  return {
    schedulerId: about.schedulerId,
    task: {
      id: task.id,
      url: task.url,
      state: taskStateOf(task),
      contentLength: task.layout?.contentLength ?? 0,
      pieceLength: task.layout?.pieceLength ?? 0,
      pieceCount: task.layout?.pieceCount ?? 0,
      sourceReaders: task.readers.values().reduce((count, peer) => count + (isReading(peer) ? 1 : 0), 0),
    },
    peers: peers.map(explainPeer),
    events: task.notes.map(({ atMs, peerId, event, fields }) => ({
      at: timestampOf(about.epochMs + atMs),
      peerId: peerId ?? "",
      event,
      fields: textsOf(fields),
    })),
  };
}

const textsOf = (fields: Fields): Record<string, string> =>
  Object.fromEntries(Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])));

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
  };
}

function interestOf(peer: Peer): number {
  if (peer.waitingSinceMs !== undefined) return 3;
  if (peer.permit !== undefined || peer.state === "failed") return 2;
  return peer.state === "succeeded" ? 0 : 1;
}
