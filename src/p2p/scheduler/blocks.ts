import { unlink } from "./links.ts";
import { trade, type BlockReason, type Peer } from "./state.ts";
import { note, touch, type Turn } from "./turn.ts";

/** Parents that a child keeps blocks of; beyond, the one blocked longest ago is forgotten. */
const BLOCKED_MAX = 256;
/** Complaints kept per parent; more would change no decision. */
const COMPLAINTS_MAX = 64;

/** What the child says of a failed piece, where it is ours. */
const REASONS: Readonly<Record<string, BlockReason>> = {
  "piece.digest-mismatch": "damaged",
  "rpc.unavailable": "unreachable",
  "socket.closed": "unreachable",
  "rpc.deadline-exceeded": "too-slow",
  "vortex.malformed": "malformed",
};

export const blockReasonOf = (code: string): BlockReason => REASONS[code] ?? "piece-failed";

/** Keeps a child from a parent that failed it: each time in a row for longer, for each kind of trouble by itself, never for good. */
export function block(turn: Turn, child: Peer, parent: Peer, reason: BlockReason): void {
  const { config } = turn.moment;
  const times = timesOf(turn, child, parent, reason);
  // One of ours that has given up another does not trade with it again, whatever it is told.
  const lastsMs = trade(child, parent)
    ? config.blockMaxMs
    : Math.min(config.blockMaxMs, config.blockFirstMs * 2 ** Math.min(times - 1, 20));
  remember(turn, child, parent, { reason, times, lastsMs });
  note(turn, child.task, "parent-blocked", { peer: child, fields: { parentId: parent.id, reason, lastsMs, times } });
  unlink(child, parent);
  touch(turn, child.task);
}

/** Counts trouble that is to be explained, and made up for, but keeps nobody from anybody yet. */
export function tally(turn: Turn, child: Peer, parent: Peer, reason: BlockReason): void {
  remember(turn, child, parent, { reason, times: timesOf(turn, child, parent, reason), lastsMs: 0 });
}

/** With this time, how often in a row. */
function timesOf({ moment: { nowMs, config } }: Turn, child: Peer, parent: Peer, reason: BlockReason): number {
  const known = child.blocked?.get(parent.id)?.find((each) => each.reason === reason);
  return known === undefined || nowMs - known.untilMs > config.blockMaxMs ? 1 : known.times + 1;
}

interface Trouble {
  readonly reason: BlockReason;
  readonly times: number;
  readonly lastsMs: number;
}

function remember({ moment: { nowMs } }: Turn, child: Peer, parent: Peer, { reason, times, lastsMs }: Trouble): void {
  child.blocked ??= new Map();
  const others = (child.blocked.get(parent.id) ?? []).filter((each) => each.reason !== reason);
  child.blocked.delete(parent.id); // put last, so that the map stays in order of age
  child.blocked.set(parent.id, [...others, { sinceMs: nowMs, untilMs: nowMs + lastsMs, times, reason }]);
  if (child.blocked.size > BLOCKED_MAX) child.blocked.delete(child.blocked.keys().next().value!); // it is not empty
}

/** Remembers that a parent failed a host; when several say so, it is offered to nobody for a while. */
export function complain(turn: Turn, child: Peer, parent: Peer): void {
  parent.complaints ??= new Map();
  if (parent.complaints.size >= COMPLAINTS_MAX && !parent.complaints.has(child.host.facts.id)) return;
  parent.complaints.set(child.host.facts.id, turn.moment.nowMs);
  parent.task.roster.note(parent);
}

/** A piece that arrived makes up for what was before; but not for those that arrived damaged, of which there may be more. */
export function forgive(child: Peer, parentId: string): void {
  child.fruitless = 0;
  const parent = child.task.peers.get(parentId as Peer["id"]); // a lookup by a stranger's text finds nothing or a peer
  if (parent === undefined) return;
  (child.served ??= new Set()).add(parent.id);
  const blocks = child.blocked?.get(parent.id);
  if (blocks !== undefined) {
    const kept = blocks.filter(({ reason }) => reason === "damaged");
    if (kept.length > 0) child.blocked!.set(parent.id, kept); // it was just found there
    else child.blocked!.delete(parent.id);
  }
  if (parent.complaints === undefined) return;
  parent.complaints = undefined; // it does serve: who could not reach it has a trouble of its own
  parent.task.roster.note(parent);
}

/** True when the parent has a piece that the child lacks: only then is it a failure to have got nothing from it. */
export const hasSomethingFor = (child: Peer, parent: Peer): boolean =>
  child.pieces.missingFrom(parent.pieces) > 0 || parent.state === "succeeded";
