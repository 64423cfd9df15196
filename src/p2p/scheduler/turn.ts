import type { Cluster } from "./cluster.ts";
import type { Effect } from "./events.ts";
import type { Moment, Rejections } from "./rules.ts";
import type { Decision, Fields, Peer, Task } from "./state.ts";

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

export function decide(
  turn: Turn,
  peer: Peer,
  kind: Decision["kind"],
  why: { readonly because: string; readonly rejections?: Rejections },
): void {
  peer.lastDecision = { atMs: turn.moment.nowMs, kind, because: why.because, rejections: why.rejections ?? {} };
}
