import type { SourceRecord } from "../../../src/kv/slots/migration/source.ts";
import type { TargetRecord } from "../../../src/kv/slots/migration/target.ts";
import type { SlotRange } from "../../../src/kv/slots/slot-map.ts";
import type { World } from "./world.ts";

/** Key to the ids that were written to it, in order. */
export type Data = Map<string, readonly number[]>;

export interface Adopted {
  readonly epoch: number;
  /** That have become this node's. */
  readonly slots: readonly SlotRange[];
  /** Of these, and of slots that stay with the node that is gone. */
  readonly data: Data;
}

/** One log: what was written first is on disk first; a crash loses what is not there yet, and cuts nothing in half. */
export class DiskModel {
  readonly data: Data = new Map();
  readonly sources = new Map<string, SourceRecord>();
  readonly targets = new Map<string, TargetRecord>();
  /** Of nodes that are gone, whose slots are this one's since the map with that epoch: as a replica has them that does not lead yet. */
  readonly adopted = new Set<Adopted>();
  readonly staged = new Map<string, { readonly attempt: number; readonly data: Data }>();
  fullUntilMs = 0;
  readonly #world: World;
  #pending: { readonly write: (data: Data) => void; readonly done: (() => void) | undefined }[] = [];
  #life = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** In the journal: what comes while there is no space waits for it. */
  write(write: (data: Data) => void, done?: () => void): void {
    this.#pending.push({ write, done });
    if (this.#pending.length === 1) this.#flushSoon();
  }

  #flushSoon(): void {
    const life = this.#life;
    const fullMs = this.isFull ? this.fullUntilMs - this.#world.nowMs : 0;
    this.#world.after(fullMs + this.#world.between(0.5, 4), () => {
      if (life !== this.#life) return;
      if (this.isFull) return this.#flushSoon();
      const batch = this.#pending;
      this.#pending = [];
      for (const one of batch) one.write(this.data);
      for (const { done: tell } of batch) tell?.();
    });
  }

  get isFull(): boolean {
    return this.#world.nowMs < this.fullUntilMs;
  }

  crash(): void {
    this.#life++;
    this.#pending = [];
  }

  copyOfData(): Data {
    return new Map(this.data);
  }

  /** With what was another's. */
  withAdopted(): Data {
    const all = new Map(this.data);
    for (const { data } of this.adopted) for (const [key, list] of data) all.set(key, list);
    return all;
  }
}
