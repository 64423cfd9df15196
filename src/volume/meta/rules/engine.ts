import type { Clock } from "../../../base/clock.ts";
import type { Changes } from "./changes.ts";
import type { Quotas } from "./quotas.ts";
import type { Node, Tables, Turn } from "./tables.ts";

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

/** With ctime as now. */
export const touched = (node: Node, { sec, nsec }: Stamp): Node => ({ ...node, ctimeSec: sec, ctimeNsec: nsec });

/** With mtime and ctime as now: a directory whose entries, or a file whose content changed. */
export const modified = (node: Node, { sec, nsec }: Stamp): Node => ({
  ...node,
  mtimeSec: sec,
  mtimeNsec: nsec,
  ctimeSec: sec,
  ctimeNsec: nsec,
});
