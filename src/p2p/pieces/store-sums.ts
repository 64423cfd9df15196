export interface TaskBytes {
  /** On the disk. */
  readonly heldBytes: number;
  readonly reservedBytes: number;
}

export const NO_BYTES: TaskBytes = { heldBytes: 0, reservedBytes: 0 };

/** The bytes of all tasks of a store, which these keep right: adding them up for each new one would soon cost more than small downloads do. */
export class StoreSums implements TaskBytes {
  #heldBytes = 0;
  #reservedBytes = 0;

  get heldBytes(): number {
    return this.#heldBytes;
  }

  get reservedBytes(): number {
    return this.#reservedBytes;
  }

  /** One task has changed. */
  replace(before: TaskBytes, now: TaskBytes): void {
    this.#heldBytes += now.heldBytes - before.heldBytes;
    this.#reservedBytes += now.reservedBytes - before.reservedBytes;
  }
}
