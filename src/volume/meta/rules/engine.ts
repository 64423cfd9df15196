import type { Clock } from "../../../base/clock.ts";
import type { Changes } from "./changes.ts";
import type { Quotas } from "./quotas.ts";
import type { Node, Tables, Turn } from "./tables.ts";

/** What `Clock.wallMs` goes on by. */
const TICK_NS = 1_000_000;

/** What the verbs of one connection share. */
export interface Engine extends Tables {
  readonly sessionId: number;
  readonly clock: Clock;
  readonly group: Turn;
  readonly usage: Quotas;
  readonly changes: Changes;
  /** How often each inode is open here. */
  readonly opens: Map<number, number>;
}

/** Now, as the two times of a node have it. */
export function stampOf(clock: Clock): Stamp {
  const ms = clock.wallMs();
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: Math.round((ms - sec * 1000) * 1e6) };
}

export interface Stamp {
  readonly sec: number;
  readonly nsec: number;
}

/** With ctime as now, and later than before even where the clock has not gone on since: a change shows. */
export function touched(node: Node, stamp: Stamp): Node {
  const { sec, nsec } = stamp;
  const sameTick = sec === node.ctimeSec && Math.floor(nsec / TICK_NS) === Math.floor(node.ctimeNsec / TICK_NS);
  return changed(node, sameTick && nsec <= node.ctimeNsec ? { sec, nsec: Math.min(node.ctimeNsec + 1, 999_999_999) } : stamp);
}

/** With ctime as given. */
export const changed = (node: Node, { sec, nsec }: Stamp): Node => ({ ...node, ctimeSec: sec, ctimeNsec: nsec });

/** With mtime as now and ctime as {@link touched}: a directory whose entries, or a file whose content changed. */
export const modified = (node: Node, stamp: Stamp): Node => ({ ...touched(node, stamp), mtimeSec: stamp.sec, mtimeNsec: stamp.nsec });
