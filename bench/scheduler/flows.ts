/** A piece on its way. `done` is the part of it that has arrived. */
export interface Flow {
  readonly from: number;
  readonly to: number;
  readonly piece: number;
  /** Where the sender gets the piece from itself, while it does. */
  readonly upstream: Flow | undefined;
  done: number;
  /** The rate that would take all that its sender has of the piece within the step. */
  wanted: number;
  announced: boolean;
  readonly sinceMs: number;
  movedAtMs: number;
  ended: boolean;
  rate: number;
  place: number;
}

/** Rounds of filling: what is left after so many is not worth the time. */
const ROUNDS = 3;
const EPSILON = 1e-9;

/**
 * Flows with max-min fair rates between nodes that have an uplink and a downlink each. What a flow that ends, or waits for its sender, leaves of a
 * link within a step is the others', as it is on a real link: else a longer step would mean a slower network.
 */
export class Flows {
  readonly #blocksPerPiece: number;
  readonly #all: Flow[] = [];
  readonly #up: number[] = [];
  readonly #down: number[] = [];
  readonly #sent: number[] = [];
  readonly #received: number[] = [];

  constructor(blocksPerPiece: number) {
    this.#blocksPerPiece = blocksPerPiece;
  }

  addNode({ up, down }: { readonly up: number; readonly down: number }): void {
    this.#up.push(up);
    this.#down.push(down);
    this.#sent.push(0);
    this.#received.push(0);
  }

  setDown(node: number, down: number): void {
    this.#down[node] = down;
  }

  /** Pieces that passed the node's link since this was asked last. */
  takePassed(node: number): { readonly up: number; readonly down: number } {
    const passed = { up: this.#sent[node]!, down: this.#received[node]! }; // it was added
    this.#sent[node] = 0;
    this.#received[node] = 0;
    return passed;
  }

  start(flow: Pick<Flow, "from" | "to" | "piece" | "upstream"> & { readonly nowMs: number }): Flow {
    const { from, to, piece, upstream, nowMs } = flow;
    const place = this.#all.length;
    const started: Flow = {
      from,
      to,
      piece,
      upstream,
      done: 0,
      wanted: 0,
      announced: false,
      sinceMs: nowMs,
      movedAtMs: nowMs,
      ended: false,
      rate: 0,
      place,
    };
    this.#all.push(started);
    return started;
  }

  /** False when it had ended before. */
  end(flow: Flow): boolean {
    if (flow.ended) return false;
    flow.ended = true;
    const last = this.#all.pop()!; // at least the flow itself
    if (last !== flow) {
      last.place = flow.place;
      this.#all[flow.place] = last;
    }
    return true;
  }

  /** Moves all flows; returns those that moved, as they were before any of them ends. */
  advance(nowMs: number, stepMs: number): readonly Flow[] {
    const open: Flow[] = [];
    // From before any of them moved, so that whoever passes blocks on has them since the step before.
    for (const flow of this.#all) {
      const left = this.#availableOf(flow) - flow.done;
      if (left <= EPSILON) continue;
      flow.wanted = left / stepMs;
      open.push(flow);
    }
    this.#share(open);
    for (const flow of open) {
      const gain = flow.rate * stepMs;
      flow.done += gain;
      if (flow.done > 1 - 1e-6) flow.done = 1;
      this.#sent[flow.from]! += gain; // flows are between nodes
      this.#received[flow.to]! += gain;
      flow.movedAtMs = nowMs;
    }
    return open;
  }

  stalled(nowMs: number, afterMs: number): readonly Flow[] {
    return this.#all.filter((flow) => nowMs - flow.movedAtMs >= afterMs);
  }

  /** How much of the piece its sender can send: whole blocks only. An upstream that ended has delivered, or its sender failed. */
  #availableOf({ upstream }: Flow): number {
    if (upstream === undefined || upstream.done >= 1) return 1;
    return Math.floor(upstream.done * this.#blocksPerPiece) / this.#blocksPerPiece;
  }

  #share(open: readonly Flow[]): void {
    const upLeft = Float64Array.from(this.#up);
    const downLeft = Float64Array.from(this.#down);
    const upCount = new Int32Array(upLeft.length);
    const downCount = new Int32Array(upLeft.length);
    const up = new Float64Array(upLeft.length);
    const down = new Float64Array(upLeft.length);
    for (const flow of open) flow.rate = 0;
    let filling = open;
    for (let round = 0; round < ROUNDS; round++) {
      // Flows are between nodes.
      filling = filling.filter(
        ({ from, to, rate, wanted }) => wanted - rate > EPSILON && upLeft[from]! >= EPSILON && downLeft[to]! >= EPSILON,
      );
      if (filling.length === 0) return;
      upCount.fill(0);
      downCount.fill(0);
      for (const { from, to } of filling) {
        upCount[from]!++;
        downCount[to]!++;
      }
      up.set(upLeft);
      down.set(downLeft);
      for (const flow of filling) {
        const { from, to } = flow;
        const share = Math.min(up[from]! / upCount[from]!, down[to]! / downCount[to]!, flow.wanted - flow.rate); // as above
        flow.rate += share;
        upLeft[from]! -= share;
        downLeft[to]! -= share;
      }
    }
  }
}
