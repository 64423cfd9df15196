import type { Cluster } from "./cluster.ts";
import type { Effect } from "./events.ts";
import { funnelOf, NOBODY, type Chosen, type Decision, type DecisionKind, type Funnel } from "./decisions.ts";
import type { Moment, Rejections } from "./rules.ts";
import type { Fields, Peer, Task } from "./state.ts";

/** One event being digested: what it changed and what is to be done. */
export interface Turn {
  readonly cluster: Cluster;
  readonly moment: Moment;
  readonly effects: Effect[];
  /** Tasks to be looked at again before the turn ends. */
  readonly touched: Set<Task>;
  /** Peers that ask, of tasks that may otherwise stay as they are. */
  readonly asking: Set<Peer>;
  /** Peers that may still be looked at for an unasked offer; the rest waits for another turn, so that none takes long. */
  pushesLeft: number;
}

/** Longest value kept from what others tell us. */
const FIELD_CHARS_MAX = 300;

export function touch(turn: Turn, task: Task): void {
  turn.touched.add(task);
}

/** Puts a line into the task's story and into the log. */
export function note(
  turn: Turn,
  task: Task,
  event: string,
  about: { readonly peer?: Peer; readonly level?: "info" | "warn" } & { readonly fields?: Fields },
): void {
  const fields = about.fields === undefined ? {} : bounded(about.fields);
  task.notes.push({ atMs: turn.moment.nowMs, peerId: about.peer?.id, event, fields });
  if (task.notes.length > turn.cluster.config.eventsPerTaskMax) task.notes.shift();
  turn.effects.push({
    do: "note",
    level: about.level ?? "debug",
    event: `scheduler.${event}`,
    fields: { taskId: task.id, peerId: about.peer?.id, ...fields },
  });
}

const isLong = (value: Fields[string]): boolean => typeof value === "string" && value.length > FIELD_CHARS_MAX;

/** Such texts are rare, and a copy for each line would be dear. */
function bounded(fields: Fields): Fields {
  if (!Object.values(fields).some(isLong)) return fields;
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [key, isLong(value) ? String(value).slice(0, FIELD_CHARS_MAX) : value]),
  );
}

/** Takes note of what was decided about a peer; what it was told is an effect. */
export function decide(
  turn: Turn,
  peer: Peer,
  kind: DecisionKind,
  why: { readonly because: string; readonly rejections?: Rejections; readonly what?: Chosen },
): void {
  const { because, rejections = {}, what = NOBODY } = why;
  const decision: Decision = { atMs: turn.moment.nowMs, kind, because, rejections };
  const { hostname } = peer.host.facts;
  const funnel = funnelOf(peer, turn.moment, rejections, what);
  turn.cluster.trace.add(peer.task.id, { decision, peerId: peer.id, hostname, funnel });
  if (kind !== "source-denied") peer.lastDecision = decision;
}

/** One that was made for all who wait. Made again and again while nothing changes, it is kept once. */
export function decideForTask(
  turn: Turn,
  task: Task,
  kind: DecisionKind,
  why: { readonly because: string; readonly rejections: Rejections; readonly funnel: Funnel },
): void {
  const { because, rejections, funnel } = why;
  const before = turn.cluster.trace.lastForTask(task.id);
  if (before?.kind === kind && kind !== "seed" && namesOf(before.rejections) === namesOf(rejections)) return;
  const decision: Decision = { atMs: turn.moment.nowMs, kind, because, rejections };
  turn.cluster.trace.add(task.id, { decision, peerId: undefined, hostname: "", funnel });
  if (Object.keys(rejections).length > 0) turn.effects.push({ do: "passOver", rejections });
}

/** Into the log only, where each cause is told once; see `warnings.ts`. */
export function warn(turn: Turn, task: Task, cause: string, fields: Fields): void {
  turn.effects.push({ do: "note", level: "warn", event: "scheduler.turned-down", fields: { taskId: task.id, cause, ...fields } });
}

export const namesOf = (rejections: Rejections): string => Object.keys(rejections).toSorted().join();
