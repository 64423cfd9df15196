import type { End } from "../../../wire/mesh/frames.ts";

interface Waiter<N, R> {
  readonly neighbour: N;
  readonly resolve: (result: R | Promise<R>) => void;
}

/**
 * The pieces that were sent to nobody yet, and the neighbours that wait for one: a piece goes out the moment it is here, without an announcement
 * that all would answer, to who is being sent least by us, and of those who has waited longest. A slow neighbour, which waits again as soon as a piece
 * begins, would else be given as many as a quick one, and pass them on late. Each neighbour waits with one request or two, so those who wait are few.
 */
export class UniquePieces<N, R> {
  readonly #sendingTo: (neighbour: N) => number;
  readonly #unsent = new Set<number>();
  readonly #waiting = new Set<Waiter<N, R | End>>();
  #active = false;

  /** `sendingTo`: pieces on their way from us to a neighbour. */
  constructor(sendingTo: (neighbour: N) => number) {
    this.#sendingTo = sendingTo;
  }

  /** Pieces are sent once before any is sent twice. */
  get active(): boolean {
    return this.#active;
  }

  get size(): number {
    return this.#unsent.size;
  }

  get unsent(): ReadonlySet<number> {
    return this.#unsent;
  }

  has(piece: number): boolean {
    return this.#unsent.has(piece);
  }

  begin(pieces: readonly number[]): void {
    this.#active = true;
    for (const piece of pieces) this.#unsent.add(piece);
  }

  add(piece: number): void {
    this.#unsent.add(piece);
  }

  sent(piece: number): void {
    this.#unsent.delete(piece);
  }

  /** Resolves with what `give` makes of a piece; with an end when there will be none, or the signal says that none is wanted. */
  wait(neighbour: N, signal: AbortSignal): Promise<R | End> {
    return new Promise((resolve) => {
      const waiter = { neighbour, resolve };
      this.#waiting.add(waiter);
      signal.addEventListener("abort", () => this.#dismiss(waiter, "gone"), { once: true });
    });
  }

  /** Offers pieces, in the order in which they came, to those who wait, one to each request. `give` returns what becomes of a piece, undefined when this neighbour has it, "none" when nothing can be given now. */
  give(give: (piece: number, neighbour: N) => Promise<R | End> | "none" | undefined): void {
    const waiters = [...this.#waiting].toSorted((a, b) => this.#sendingTo(a.neighbour) - this.#sendingTo(b.neighbour));
    for (const waiter of waiters) {
      for (const piece of this.#unsent) {
        const given = give(piece, waiter.neighbour);
        if (given === "none") return;
        if (given === undefined) continue;
        this.#unsent.delete(piece);
        this.#waiting.delete(waiter);
        waiter.resolve(given);
        break;
      }
    }
  }

  /** A neighbour is gone. */
  left(neighbour: N): void {
    for (const waiter of this.#waiting) if (waiter.neighbour === neighbour) this.#dismiss(waiter, "gone");
  }

  /** Everything may be sent as often as it is asked for. */
  end(): void {
    this.#active = false;
    this.#unsent.clear();
    for (const waiter of this.#waiting) this.#dismiss(waiter, "elsewhere");
  }

  #dismiss(waiter: Waiter<N, R | End>, end: End): void {
    if (this.#waiting.delete(waiter)) waiter.resolve(end);
  }
}
