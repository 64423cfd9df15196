import { hash } from "node:crypto";
import { crc32 } from "node:zlib";
import { AnaxError } from "../../../base/errors.ts";
import type { BlockHashes } from "../../../wire/mesh/frames.ts";
import { blockBytesOf, pieceRangeOf } from "../../model/piece.ts";
import type { StoredTask } from "../../pieces/types.ts";
import type { ProvenPiece, Voucher } from "./proof.ts";

const HASH_BYTES = 32;

/** A piece that arrives block by block, each verified: as far as it has come it may be passed on. */
export class Arrival {
  readonly facts: ProvenPiece;
  readonly proof: BlockHashes;
  readonly #listeners = new Set<() => void>();
  #blocks = 0;
  #state: "arriving" | "held" | "gone" = "arriving";

  constructor(facts: ProvenPiece, proof: BlockHashes) {
    this.facts = facts;
    this.proof = proof;
  }

  /** Verified blocks in the content file, from the start of the piece. */
  get blocks(): number {
    return this.#blocks;
  }

  get state(): "arriving" | "held" | "gone" {
    return this.#state;
  }

  advance(): void {
    this.#blocks++;
    this.#tell();
  }

  end(state: "held" | "gone"): void {
    this.#state = state;
    this.#tell();
  }

  onChange(listen: () => void): Disposable {
    this.#listeners.add(listen);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listen) };
  }

  #tell(): void {
    for (const listen of this.#listeners) listen();
  }
}

/** What of a task can be given to others besides whole pieces: pieces that are still arriving, and proofs of their blocks. */
export class Feed {
  readonly #stored: StoredTask;
  readonly #voucher: Voucher;
  readonly #isAuthority: () => boolean;
  readonly #arrivals = new Map<number, Arrival>();
  readonly #proofs = new Map<number, BlockHashes>();
  readonly #proving = new Map<number, Promise<BlockHashes | undefined>>();

  /** `isAuthority`: this host read the content from its source, or has all of it verified, so that its own word counts. */
  constructor(stored: StoredTask, voucher: Voucher, isAuthority: () => boolean) {
    this.#stored = stored;
    this.#voucher = voucher;
    this.#isAuthority = isAuthority;
  }

  arrival(piece: number): Arrival | undefined {
    return this.#arrivals.get(piece);
  }

  /** A piece with proven hashes begins to arrive; undefined when it arrives already from somebody else. */
  begin(facts: ProvenPiece, proof: BlockHashes): Arrival | undefined {
    if (this.#arrivals.has(facts.piece)) return undefined;
    const arrival = new Arrival(facts, proof);
    this.#arrivals.set(facts.piece, arrival);
    return arrival;
  }

  /** It arrives no more: all of it is here, or nobody knows when the rest comes. */
  end(arrival: Arrival, state: "held" | "gone"): void {
    if (this.#arrivals.get(arrival.facts.piece) === arrival) this.#arrivals.delete(arrival.facts.piece);
    if (state === "held") this.#proofs.set(arrival.facts.piece, arrival.proof);
    arrival.end(state);
  }

  /** Undefined: nobody whose word counts has vouched for this held piece. Throws `disk.io`, `piece.digest-mismatch`. */
  async proofOf(facts: ProvenPiece): Promise<BlockHashes | undefined> {
    const known = this.#proofs.get(facts.piece);
    if (known !== undefined) return known;
    if (!this.#isAuthority()) return undefined;
    const proving = this.#proving.get(facts.piece) ?? this.#prove(facts).finally(() => this.#proving.delete(facts.piece));
    this.#proving.set(facts.piece, proving);
    return proving;
  }

  async #prove(facts: ProvenPiece): Promise<BlockHashes> {
    const { meta } = this.#stored;
    const range = pieceRangeOf(meta, facts.piece);
    const blockBytes = blockBytesOf(meta.pieceLength);
    const block = Buffer.allocUnsafe(Math.min(blockBytes, range.length));
    const hashes = Buffer.alloc(Math.ceil(range.length / blockBytes) * HASH_BYTES);
    let checksum = 0;
    for (let at = 0, place = 0; at < range.length; at += blockBytes, place += HASH_BYTES) {
      const into = block.subarray(0, Math.min(blockBytes, range.length - at));
      await this.#stored.read({ offsetBytes: range.start + at, into });
      hashes.set(hash("sha256", into, "buffer"), place);
      checksum = crc32(into, checksum);
    }
    if (checksum !== facts.crc32 >>> 0) {
      // Vouched for, it would be passed on from peer to peer, and each would blame the one before it.
      await this.#stored.quarantinePiece(facts.piece);
      throw new AnaxError("piece.digest-mismatch", { taskId: meta.id, index: facts.piece, reason: "altered on disk" });
    }
    const proof = this.#voucher.vouch(meta, facts, hashes);
    this.#proofs.set(facts.piece, proof);
    return proof;
  }

  /** The piece was dropped: what was proven of it counts no more. */
  forget(piece: number): void {
    this.#proofs.delete(piece);
  }
}
