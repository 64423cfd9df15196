import type { DatabaseSync } from "node:sqlite";
import type { Clock } from "../../../base/clock.ts";
import { Changes } from "../rules/changes.ts";
import type { Engine } from "../rules/engine.ts";
import { Quotas } from "../rules/quotas.ts";
import { Changelog } from "./changelog.ts";
import { Edges } from "./edges.ts";
import { blobsOf, extentsOf } from "./extent-rows.ts";
import { Group } from "./group.ts";
import { Nodes } from "./nodes.ts";
import { inlineOf, keptOf, leasesOf, locksOf, quotasOf, targetsOf, trashOf, xattrsOf } from "./small-tables.ts";

export interface EngineOptions {
  readonly database: DatabaseSync;
  readonly path: string;
  readonly clock: Clock;
  readonly sessionId: number;
  /** Something was committed that others may wait for. */
  readonly onChanges: () => void;
}

export interface SqliteEngine extends Engine {
  readonly group: Group;
}

export function createEngine({ database, path, clock, sessionId, onChanges }: EngineOptions): SqliteEngine {
  const nodes = new Nodes(database);
  const changes = new Changes();
  const changelog = new Changelog(database, sessionId);
  let unlocked = false;
  const group: Group = new Group({
    database,
    path,
    nodes,
    clock,
    beforeCommit() {
      usage.write();
      const set = group.volume.sessions > 1 ? changes.set() : undefined;
      if (set !== undefined) changelog.write(set);
      unlocked = (set?.unlocked.length ?? 0) > 0;
      changes.forget();
    },
    afterUndo() {
      usage.forget();
      changes.forget();
    },
    afterCommit() {
      if (unlocked) onChanges();
    },
  });
  const quotas = quotasOf(database);
  const usage = new Quotas({ nodes, quotas }, group);
  return {
    sessionId,
    clock,
    nodes,
    edges: new Edges(database),
    targets: targetsOf(database),
    inline: inlineOf(database),
    extents: extentsOf(database),
    blobs: blobsOf(database),
    xattrs: xattrsOf(database),
    locks: locksOf(database),
    leases: leasesOf(database),
    kept: keptOf(database),
    trash: trashOf(database),
    quotas,
    group,
    usage,
    changes,
    opens: new Map(),
  };
}
