import { unlink } from "./links.ts";
import { trade, type Peer } from "./state.ts";
import { note, touch, type Turn } from "./turn.ts";

/** Blocks kept per child; beyond, the oldest is forgotten. */
const BLOCKS_MAX = 256;
/** Complaints kept per parent; more would change no decision. */
const COMPLAINTS_MAX = 64;

/** Keeps a child from a parent that failed it: each time in a row for longer, never for good. */
export function block(turn: Turn, child: Peer, parent: Peer, reason: string): void {
  const { nowMs, config } = turn.moment;
  child.blocked ??= new Map();
  const known = child.blocked.get(parent.id);
  const times = known === undefined || nowMs - known.untilMs > config.blockMaxMs ? 1 : known.times + 1;
  // One of ours that has given up another does not trade with it again, whatever it is told.
  const lastsMs = trade(child, parent)
    ? config.blockMaxMs
    : Math.min(config.blockMaxMs, config.blockFirstMs * 2 ** Math.min(times - 1, 20));
  child.blocked.delete(parent.id); // put last, so that the map stays in order of age
  child.blocked.set(parent.id, { sinceMs: nowMs, untilMs: nowMs + lastsMs, times, reason });
  if (child.blocked.size > BLOCKS_MAX) child.blocked.delete(child.blocked.keys().next().value!); // it is not empty
  note(turn, child.task, "parent-blocked", { peer: child, fields: { parentId: parent.id, reason, lastsMs } });
  unlink(child, parent);
  touch(turn, child.task);
}

/** Remembers that a parent failed a host; when several say so, it is offered to nobody for a while. */
export function complain(turn: Turn, child: Peer, parent: Peer): void {
  parent.complaints ??= new Map();
  if (parent.complaints.size >= COMPLAINTS_MAX && !parent.complaints.has(child.host.facts.id)) return;
  parent.complaints.set(child.host.facts.id, turn.moment.nowMs);
  parent.task.roster.note(parent);
}

/** A piece that arrived makes up for what was before. */
export function forgive(child: Peer, parentId: string): void {
  child.fruitless = 0;
  const parent = child.task.peers.get(parentId as Peer["id"]); // a lookup by a stranger's text finds nothing or a peer
  if (parent === undefined) return;
  (child.served ??= new Set()).add(parent.id);
  child.blocked?.delete(parent.id);
  if (parent.complaints === undefined) return;
  parent.complaints = undefined; // it does serve: who could not reach it has a trouble of its own
  parent.task.roster.note(parent);
}

/** True when the parent has a piece that the child lacks: only then is it a failure to have got nothing from it. */
export const hasSomethingFor = (child: Peer, parent: Peer): boolean =>
  child.pieces.missingFrom(parent.pieces) > 0 || parent.state === "succeeded";
