/** What a cell holds. Version 0: it was never set, and the value is empty; every change adds 1. */
export interface Cell {
  readonly version: number;
  readonly value: string;
}

export type SetOutcome =
  | { readonly kind: "set"; readonly version: number }
  /** Nothing was changed: the cell is, or was a moment ago, like this. */
  | { readonly kind: "conflict"; readonly current: Cell };

/**
 * Named cells that a whole cluster sees alike, each changed by compare-and-set: where something has to be decided once. Reads and changes are linearisable,
 * and durable before they are answered. Every call ends within the register's deadline.
 *
 * A change that cannot be made throws `register.unreachable` when it certainly was not, `register.unknown` when it may have been, or still may be: then
 * read, or send it again as it is, since one version follows another once only.
 */
export interface Register extends AsyncDisposable {
  /** Throws `register.unreachable`, `register.refused`. */
  read(name: string, signal?: AbortSignal): Promise<Cell>;
  /** Throws `register.unreachable`, `register.unknown`, `register.refused`; `input.invalid` for a value that is too long. */
  compareAndSet(name: string, change: Change, signal?: AbortSignal): Promise<SetOutcome>;
}

export interface Change {
  /** The version that the cell must have. */
  readonly expected: number;
  readonly value: string;
}

/** What every engine takes; etcd's limit for a request is 1.5 MiB. */
export const VALUE_BYTES_MAX = 1024 * 1024;
export const NO_CELL: Cell = { version: 0, value: "" };
