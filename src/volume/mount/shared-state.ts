/** Numbers that the I/O worker and the main thread of a mount tell each other by: the worker sits in a read most of the time and hears no messages. */
const FIELDS = [
  "unsettled",
  "settle",
  "fenced",
  "readOnly",
  "shared",
  "directIo",
  "mail",
  "served",
  "pending",
  "waitingLocks",
  "openFiles",
  "unwritten",
] as const;
type Field = (typeof FIELDS)[number];

export class SharedState {
  readonly buffer: SharedArrayBuffer;
  readonly #numbers: Int32Array;

  constructor(buffer = new SharedArrayBuffer(FIELDS.length * 4)) {
    this.buffer = buffer;
    this.#numbers = new Int32Array(buffer);
  }

  get(field: Field): number {
    return Atomics.load(this.#numbers, FIELDS.indexOf(field));
  }

  set(field: Field, value: number): void {
    Atomics.store(this.#numbers, FIELDS.indexOf(field), value);
  }

  /** Sets it, and lets whoever waits for that in `waitWhile` go on. */
  announce(field: Field, value: number): void {
    this.set(field, value);
    Atomics.notify(this.#numbers, FIELDS.indexOf(field));
  }

  /** Blocks the thread while it has that value, at most so long; false when the time is over. */
  waitWhile(field: Field, value: number, timeoutMs: number): boolean {
    return Atomics.wait(this.#numbers, FIELDS.indexOf(field), value, timeoutMs) !== "timed-out";
  }

  /** Wraps around beyond 2^31. */
  add(field: Field, value: number): void {
    Atomics.add(this.#numbers, FIELDS.indexOf(field), value);
  }
}
