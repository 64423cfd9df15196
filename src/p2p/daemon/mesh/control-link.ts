import type { MeshContent, MeshMessage, MeshUpdate } from "../../../wire/grpc/gen/anax/v1/peer.ts";

/** The stream to one neighbour about one task, whichever side opened it. */
export interface ControlLink {
  readonly send: (message: MeshMessage) => Promise<void>;
  /** Ends the stream. */
  readonly end: () => void;
}

export const contentMessage = (value: MeshContent): MeshMessage => ({ message: { $case: "content", value } });
export const updateMessage = (value: MeshUpdate): MeshMessage => ({ message: { $case: "update", value } });

/** What all neighbours are told alike. */
export type Change = Omit<MeshUpdate, "generation" | "uploads" | "uploadSlots">;
export const NO_CHANGE: Change = { started: [], held: [], dropped: [], damaged: [], freeSlots: undefined };

/** Names piece indices that changed, once each, until they are sent. */
export class News {
  readonly #started = new Set<number>();
  readonly #held = new Set<number>();
  readonly #dropped = new Set<number>();

  get isEmpty(): boolean {
    return this.#started.size + this.#held.size + this.#dropped.size === 0;
  }

  started(piece: number): void {
    this.#dropped.delete(piece);
    this.#started.add(piece);
  }

  held(piece: number): void {
    this.#dropped.delete(piece);
    this.#started.delete(piece);
    this.#held.add(piece);
  }

  dropped(piece: number): void {
    this.#started.delete(piece);
    this.#held.delete(piece);
    this.#dropped.add(piece);
  }

  /** What there is to say, which is then said. */
  take(): Change {
    const update = { ...NO_CHANGE, started: [...this.#started], held: [...this.#held], dropped: [...this.#dropped] };
    for (const set of [this.#started, this.#held, this.#dropped]) set.clear();
    return update;
  }
}
