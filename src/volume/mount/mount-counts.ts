import { ERRNO, type ErrnoName } from "../../wire/fuse/errno.ts";
import { OPCODE, type OpName } from "../../wire/fuse/protocol.ts";

/** Upper bounds in seconds, of which the last is that of all. */
export const LATENCY_SECONDS = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30] as const;

const OPERATIONS = Object.entries(OPCODE) as readonly (readonly [OpName, number])[];
const CODES = Object.entries(ERRNO) as readonly (readonly [ErrnoName, number])[];
/** Whatever has no name here. */
const OTHER = "other";

/** Of one operation: seconds, how many lie in each range of time, how many failed with each code. */
const BUCKETS = LATENCY_SECONDS.length + 1;
const ROW = 1 + BUCKETS + CODES.length + 1;
const BYTES = ["readBytes", "writtenBytes"] as const;
/** What is so now, and not counted. */
const LEVELS = ["dirtyBytes", "backlogBytes"] as const;
const NUMBERS = [...BYTES, ...LEVELS] as const;

const rowOf: readonly (number | undefined)[] = (() => {
  const rows: (number | undefined)[] = [];
  for (const [index, [, opcode]] of OPERATIONS.entries()) rows[opcode] = NUMBERS.length + index * ROW;
  return rows;
})();
const columnOf: readonly (number | undefined)[] = (() => {
  const columns: (number | undefined)[] = [];
  for (const [index, [, errno]] of CODES.entries()) columns[errno] = 1 + BUCKETS + index;
  return columns;
})();

/** What one operation has come to. */
export interface OperationCounts {
  readonly operation: OpName;
  readonly seconds: number;
  /** How many took so long, for each of `LATENCY_SECONDS`, and more. */
  readonly ranges: readonly number[];
  readonly errors: readonly { readonly code: string; readonly count: number }[];
}

export interface MountCounted extends Readonly<Record<(typeof NUMBERS)[number], number>> {
  /** Those that there were. */
  readonly operations: readonly OperationCounts[];
}

export const NOTHING_COUNTED: MountCounted = { readBytes: 0, writtenBytes: 0, dirtyBytes: 0, backlogBytes: 0, operations: [] };

/** What the thread that serves a mount counts, for others of its process to read: one writer, and no thread waits. */
export class MountCounts {
  readonly shared: SharedArrayBuffer;
  readonly #cells: Float64Array;

  constructor(shared = new SharedArrayBuffer((NUMBERS.length + OPERATIONS.length * ROW) * Float64Array.BYTES_PER_ELEMENT)) {
    this.shared = shared;
    this.#cells = new Float64Array(shared);
  }

  /** `errno` is zero for what succeeded, and below zero for what is not answered. */
  count(opcode: number, errno: number, ms: number): void {
    const row = rowOf[opcode];
    if (row === undefined) return; // nothing that is known here
    const seconds = ms / 1000;
    this.#cells[row]! += seconds; // it has as many
    let range = 0;
    while (range < LATENCY_SECONDS.length && seconds > LATENCY_SECONDS[range]!) range++; // just compared
    this.#cells[row + 1 + range]! += 1;
    if (errno > 0) this.#cells[row + (columnOf[errno] ?? ROW - 1)]! += 1;
  }

  add(name: (typeof BYTES)[number], bytes: number): void {
    this.#cells[NUMBERS.indexOf(name)]! += bytes; // as above
  }

  set(name: (typeof LEVELS)[number], bytes: number): void {
    this.#cells[NUMBERS.indexOf(name)] = bytes;
  }

  level(name: (typeof LEVELS)[number]): number {
    return this.#cells[NUMBERS.indexOf(name)]!; // as above
  }

  get values(): MountCounted {
    const cells = this.#cells;
    const numbers = Object.fromEntries(NUMBERS.map((name, at) => [name, cells[at]])) as Record<(typeof NUMBERS)[number], number>;
    const operations: OperationCounts[] = [];
    for (const [operation, opcode] of OPERATIONS) {
      const row = rowOf[opcode]!; // of one of them
      const ranges = [...cells.subarray(row + 1, row + 1 + BUCKETS)];
      if (ranges.every((count) => count === 0)) continue;
      const errors = [...CODES.map(([code]) => code), OTHER]
        .map((code, index) => ({ code, count: cells[row + 1 + BUCKETS + index]! })) // as above
        .filter(({ count }) => count > 0);
      operations.push({ operation, seconds: cells[row]!, ranges, errors }); // as above
    }
    return { ...numbers, operations };
  }
}

/** What mount processes that followed each other have counted; levels are those of the later one. */
export function summed(before: MountCounted, after: MountCounted): MountCounted {
  const operations = new Map(before.operations.map((each) => [each.operation, each]));
  for (const each of after.operations) operations.set(each.operation, sumOf(operations.get(each.operation), each));
  return {
    ...after,
    readBytes: before.readBytes + after.readBytes,
    writtenBytes: before.writtenBytes + after.writtenBytes,
    operations: [...operations.values()],
  };
}

function sumOf(before: OperationCounts | undefined, after: OperationCounts): OperationCounts {
  if (before === undefined) return after;
  const errors = new Map(before.errors.map(({ code, count }) => [code, count]));
  for (const { code, count } of after.errors) errors.set(code, (errors.get(code) ?? 0) + count);
  return {
    operation: after.operation,
    seconds: before.seconds + after.seconds,
    ranges: after.ranges.map((count, index) => count + (before.ranges[index] ?? 0)),
    errors: [...errors].map(([code, count]) => ({ code, count })),
  };
}
