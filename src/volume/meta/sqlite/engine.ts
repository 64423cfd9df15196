import type { DatabaseSync } from "node:sqlite";
import type { Clock } from "../../../base/clock.ts";
import { Changes } from "./changes.ts";
import { Group } from "./group.ts";
import { Nodes, type Node } from "./nodes.ts";
import { Quotas } from "./quotas.ts";

/** What the verbs of one connection share. */
export interface Engine {
  readonly database: DatabaseSync;
  readonly sessionId: number;
  readonly clock: Clock;
  readonly nodes: Nodes;
  readonly group: Group;
  readonly quotas: Quotas;
  readonly changes: Changes;
  /** How often each inode is open here. */
  readonly opens: Map<number, number>;
}

export interface EngineOptions {
  readonly database: DatabaseSync;
  readonly path: string;
  readonly clock: Clock;
  readonly sessionId: number;
  /** Others may have to hear of what was committed. */
  readonly onChanges: () => void;
}

export function createEngine({ database, path, clock, sessionId, onChanges }: EngineOptions): Engine {
  const nodes = new Nodes(database);
  const changes = new Changes(database, sessionId);
  const group: Group = new Group({
    database,
    path,
    nodes,
    clock,
    beforeCommit() {
      quotas.write();
      changes.write(group.volume.sessions > 1);
    },
    afterUndo() {
      quotas.forget();
      changes.forget();
    },
    afterCommit: onChanges,
  });
  const quotas = new Quotas(database, group, nodes);
  return { database, sessionId, clock, nodes, group, quotas, changes, opens: new Map() };
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
