import type { InUseReason } from "./types.ts";

/** Who uses a task, counted by reason. */
export class LeaseCounts {
  readonly #counts = new Map<InUseReason, number>();

  /** `onRelease` runs once, when the lease is given back. */
  add(reason: InUseReason, onRelease: () => void): Disposable {
    this.#counts.set(reason, this.count(reason) + 1);
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        const left = this.count(reason) - 1;
        if (left === 0) this.#counts.delete(reason);
        else this.#counts.set(reason, left);
        onRelease();
      },
    };
  }

  count(reason: InUseReason): number {
    return this.#counts.get(reason) ?? 0;
  }

  reasons(): InUseReason[] {
    return [...this.#counts.keys()];
  }
}
