/** Neighbouring pieces: from `first` up to, not including, `end`. */
export interface PieceSpan {
  readonly first: number;
  readonly end: number;
}

/** Which pieces this host reads from the source: all that no peer has, or the parts that the scheduler gave it. */
export class SourceShare {
  #spans: readonly PieceSpan[] | undefined;
  #wake = Promise.withResolvers<void>();

  /** Others read other parts. */
  get isPart(): boolean {
    return this.#spans !== undefined;
  }

  /** Resolves when the share is another one. */
  get changed(): Promise<void> {
    return this.#wake.promise;
  }

  set(spans: readonly PieceSpan[]): void {
    this.#spans = spans.length === 0 ? undefined : spans;
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  includes(index: number): boolean {
    return this.#spans === undefined || this.#spans.some(({ first, end }) => index >= first && index < end);
  }
}
