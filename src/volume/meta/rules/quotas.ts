import { constants } from "node:os";
import type { Outcome } from "../verbs.ts";
import type { Tables, Turn } from "./tables.ts";

const { EDQUOT, ENOSPC } = constants.errno;

interface Quota {
  readonly bytesMax: number;
  readonly inodesMax: number;
  usedBytes: number;
  usedInodes: number;
}

/** Counts what is occupied: for the whole volume, and for directories that have a quota together with everything below them. */
export class Quotas {
  readonly #group: Turn;
  readonly #tables: Pick<Tables, "nodes" | "quotas">;
  /** Of the open transaction; undefined: not read yet. */
  #quotas: Map<number, Quota> | undefined;
  #changed = false;

  constructor(tables: Pick<Tables, "nodes" | "quotas">, group: Turn) {
    this.#tables = tables;
    this.#group = group;
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

  /** Before the transaction is committed. */
  write(): void {
    if (this.#changed)
      for (const [ino, { usedBytes, usedInodes }] of this.#quotas ?? []) this.#tables.quotas.update(ino, usedBytes, usedInodes);
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
      const parent = this.#tables.nodes.get(ino)?.parent;
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
    return new Map(this.#tables.quotas.all().map((row) => [row.ino, { ...row }]));
  }
}

/** Deepest directory: more than a path of 4,096 bytes can name. */
export const DEPTH_MAX = 4096;
