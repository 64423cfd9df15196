import { z } from "zod";
import { NO_CELL, type Cell, type Register } from "../../../register/register.ts";
import { valueIn } from "../../slots/cell-value.ts";

/** Which node plans for its cluster, and how that goes. */
export interface TurnRecord {
  /** Empty: nobody. */
  readonly runner: string;
  readonly counter: number;
  readonly lengthMs: number;
  /** It has begun: whoever comes next goes on, below the threshold as well. */
  readonly active: boolean;
  /** For a person. */
  readonly state: string;
}

const NOBODY: TurnRecord = { runner: "", counter: 0, lengthMs: 1, active: false, state: "" };
const TurnForm = z.strictObject({
  runner: z.string(),
  counter: z.int().min(0),
  lengthMs: z.int().min(1),
  active: z.boolean(),
  state: z.string().max(1000),
});
/** As of a lease: whoever waits waits a tenth longer. */
const MARGIN = 1.1;

const cellOf = (cluster: string): string => `cluster/${cluster}/rebalance`;
const recordIn = (cell: Cell): TurnRecord => (cell.value === "" ? NOBODY : valueIn(TurnForm, cell.value));

/** Throws `register.*`. */
export async function readTurn(register: Register, cluster: string): Promise<TurnRecord> {
  return recordIn(await register.read(cellOf(cluster)));
}

/**
 * A lease in the register, so that one node of a cluster plans at a time. Two of them do no harm: whoever has the slots refuses to move them twice, and decides nothing by who asks.
 * Times are differences of this node's monotonic clock.
 */
export class Turn {
  readonly #register: Register;
  readonly #self: string;
  #cluster = "";
  #cell: Cell = NO_CELL;
  #firstSeenMs = 0;
  /** Of the version that this node has set. */
  #held: { readonly version: number; readonly untilMs: number } | undefined;

  constructor(register: Register, self: string) {
    this.#register = register;
    this.#self = self;
  }

  get record(): TurnRecord {
    return recordIn(this.#cell);
  }

  /** As far as this node knows without asking. */
  holds(nowMs: number): boolean {
    return this.#held !== undefined && nowMs < this.#held.untilMs;
  }

  /** Whether it is this node's turn; it takes it where it is nobody's, and keeps it. Throws `register.*`. */
  async take(cluster: string, lengthMs: number, nowMs: () => number): Promise<boolean> {
    await this.#look(cluster, nowMs());
    const { runner, lengthMs: theirs } = this.record;
    const held = this.#held;
    if (runner === this.#self && held !== undefined && held.untilMs - nowMs() > lengthMs / 2) return true;
    const isFree = runner === this.#self || runner === "" || nowMs() - this.#firstSeenMs > theirs * MARGIN;
    return isFree && this.#set({ ...this.record, runner: this.#self, lengthMs }, nowMs);
  }

  /** Says how it goes; false: it is another's turn. Throws `register.*`. */
  async tell(told: Pick<TurnRecord, "active" | "state">, nowMs: () => number): Promise<boolean> {
    const { active, state } = this.record;
    if (this.#held === undefined) return false;
    return (told.active === active && told.state === state) || this.#set({ ...this.record, ...told }, nowMs);
  }

  /** Gives the turn to whoever comes. Throws `register.*`. */
  async leave(nowMs: () => number): Promise<void> {
    if (this.#held !== undefined) await this.#set({ ...this.record, runner: "" }, nowMs);
    this.#held = undefined;
  }

  async #look(cluster: string, nowMs: number): Promise<void> {
    const cell = await this.#register.read(cellOf(cluster));
    if (cluster !== this.#cluster || cell.version !== this.#cell.version) this.#firstSeenMs = nowMs;
    if (cluster !== this.#cluster || this.#held?.version !== cell.version) this.#held = undefined;
    [this.#cluster, this.#cell] = [cluster, cell];
  }

  async #set(record: TurnRecord, nowMs: () => number): Promise<boolean> {
    const askedMs = nowMs();
    const value = JSON.stringify({ ...record, counter: record.counter + 1 });
    this.#held = undefined; // until it is known
    const set = await this.#register.compareAndSet(cellOf(this.#cluster), { expected: this.#cell.version, value });
    if (set.kind !== "set") return false;
    this.#cell = { version: set.version, value };
    this.#held = { version: set.version, untilMs: askedMs + record.lengthMs };
    return true;
  }
}
