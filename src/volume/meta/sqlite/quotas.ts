import { constants } from "node:os";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Outcome } from "../verbs.ts";
import type { Group } from "./group.ts";
import type { Nodes } from "./nodes.ts";

const { EDQUOT, ENOSPC } = constants.errno;

interface Quota {
  readonly bytesMax: number;
  readonly inodesMax: number;
  usedBytes: number;
  usedInodes: number;
}

/** Counts what is occupied: for the whole volume, and for directories that have a quota together with everything below them. */
export class Quotas {
  readonly #group: Group;
  readonly #nodes: Nodes;
  readonly #all: StatementSync;
  readonly #update: StatementSync;
  /** Of the open group; undefined: not read yet. */
  #quotas: Map<number, Quota> | undefined;
  #changed = false;

  constructor(database: DatabaseSync, group: Group, nodes: Nodes) {
    this.#group = group;
    this.#nodes = nodes;
    this.#all = database.prepare("SELECT ino, bytes_max, inodes_max, used_bytes, used_inodes FROM quota");
    this.#update = database.prepare("UPDATE quota SET used_bytes = ?, used_inodes = ? WHERE ino = ?");
  }

  /** Adds to what lies in `directory`, unless that is too much: ENOSPC for the volume, EDQUOT for a directory. */
  charge(directory: number, bytes: number, inodes: number): Outcome {
    const { volume } = this.#group;
    if (bytes > 0 && volume.capacityBytes > 0 && volume.usedBytes + bytes > volume.capacityBytes) return ENOSPC;
    if (inodes > 0 && volume.inodesMax > 0 && volume.usedInodes + inodes > volume.inodesMax) return ENOSPC;
    if (volume.quotas > 0) {
      const quotas = this.#above(directory);
      for (const quota of quotas) {
        if (bytes > 0 && quota.bytesMax > 0 && quota.usedBytes + bytes > quota.bytesMax) return EDQUOT;
        if (inodes > 0 && quota.inodesMax > 0 && quota.usedInodes + inodes > quota.inodesMax) return EDQUOT;
      }
      this.#add(quotas, bytes, inodes);
    }
    volume.usedBytes += bytes;
    volume.usedInodes += inodes;
    return 0;
  }

  /** Directories whose quotas count what lies in `from` and not what lies in `to`, or the other way round. */
  differ(from: number, to: number): boolean {
    if (this.#group.volume.quotas === 0 || from === to) return false;
    const before = this.#above(from);
    const after = this.#above(to);
    return before.length !== after.length || before.some((quota) => !after.includes(quota));
  }

  /** Moves what a file counts for to another directory; EDQUOT where that has no room. For the volume it is as much as before. */
  move(from: number, to: number, bytes: number, inodes = 1): Outcome {
    if (!this.differ(from, to)) return 0;
    const { volume } = this.#group;
    const { usedBytes, usedInodes } = volume;
    volume.usedBytes -= bytes;
    volume.usedInodes -= inodes;
    const outcome = this.charge(to, bytes, inodes);
    if (outcome === 0) this.charge(from, -bytes, -inodes);
    volume.usedBytes = usedBytes;
    volume.usedInodes = usedInodes;
    return outcome;
  }

  /** Before the group is committed. */
  write(): void {
    if (this.#changed) for (const [ino, { usedBytes, usedInodes }] of this.#quotas ?? []) this.#update.run(usedBytes, usedInodes, ino);
    this.forget();
  }

  forget(): void {
    this.#quotas = undefined;
    this.#changed = false;
  }

  #above(directory: number): readonly Quota[] {
    this.#quotas ??= this.#read();
    const found: Quota[] = [];
    // Directories form a tree; the bound is only against a damaged one.
    for (let ino = directory, depth = 0; depth < DEPTH_MAX; depth++) {
      const quota = this.#quotas.get(ino);
      if (quota !== undefined) found.push(quota);
      const parent = this.#nodes.get(ino)?.parent;
      if (parent === undefined || parent === ino) break;
      ino = parent;
    }
    return found;
  }

  #add(quotas: readonly Quota[], bytes: number, inodes: number): void {
    for (const quota of quotas) {
      quota.usedBytes += bytes;
      quota.usedInodes += inodes;
      this.#changed = true;
    }
  }

  #read(): Map<number, Quota> {
    return new Map(
      this.#all.all().map((row) => [
        Number(row["ino"]),
        {
          bytesMax: Number(row["bytes_max"]),
          inodesMax: Number(row["inodes_max"]),
          usedBytes: Number(row["used_bytes"]),
          usedInodes: Number(row["used_inodes"]),
        },
      ]),
    );
  }
}

/** Deepest directory: more than a path of 4,096 bytes can name. */
export const DEPTH_MAX = 4096;

/**
 * What lies below the directory of a quota, each inode once, and with it what is in the trash: its bytes count until they are gone. The directory itself counts for
 * the one above.
 */
export const RECOUNT_QUOTA = `UPDATE quota SET (used_bytes, used_inodes) = (
    WITH RECURSIVE below (ino) AS (
      SELECT ino FROM edge WHERE parent = ?1 UNION SELECT ino FROM trash WHERE parent = ?1
      UNION SELECT edge.ino FROM below JOIN edge ON edge.parent = below.ino
      UNION SELECT trash.ino FROM below JOIN trash ON trash.parent = below.ino
    )
    SELECT coalesce(sum(allocated), 0), coalesce(sum(nlink > 0), 0) FROM node
    WHERE ino IN (SELECT ino FROM below) AND (parent = ?1 OR parent IN (SELECT ino FROM below))
  ) WHERE ino = ?1`;
