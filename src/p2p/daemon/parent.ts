import type { Clock } from "../../base/clock.ts";
import { type AnaxError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { backoffMs } from "../../base/retry.ts";
import { Bitmap, pieceRangeOf, type PieceLayout } from "../model/piece.ts";
import type { ParentOffer } from "./api.ts";
import type { Holder } from "./choose-piece.ts";
import type { ParentAddress, PieceClient } from "./transfer/types.ts";

export type ParentState = "in-use" | "gone" | "banned";

export interface ParentOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly pieceClient: Pick<PieceClient, "inFlight">;
  readonly failuresMax: number;
  readonly backoffFirstMs: number;
}

const BACKOFF_MAX_MS = 5000;

/** One parent of one download: what it holds and how it has behaved. */
export class Parent implements Holder {
  readonly offer: ParentOffer;
  readonly #pieces: Bitmap;
  readonly #options: ParentOptions;
  #address: ParentAddress;
  #state: ParentState = "in-use";
  /** In a row, of pieces and of hearing what it holds: a parent that talks but does not deliver is no parent. */
  #failures = 0;
  #silences = 0;
  #pausedUntilMs = 0;

  constructor(offer: ParentOffer, pieceCount: number, options: ParentOptions) {
    this.offer = offer;
    this.#pieces = new Bitmap(pieceCount);
    this.#options = options;
    this.#address = { ip: offer.ip, port: offer.downloadPort, keepsConnection: offer.ours };
    // Dragonfly's daemon announces its gRPC port as the download port; where its pieces are it says with each of them (`note`).
    const told = (offer.ours ? offer.wire.finishedPieces : undefined) ?? new Uint8Array();
    const count = Math.min(pieceCount, told.length * 8);
    for (let index = 0; index < count; index++) {
      if ((told[index >> 3]! & (1 << (index & 7))) !== 0) this.#pieces.set(index); // the count is that of the bytes
    }
  }

  get state(): ParentState {
    return this.#state;
  }

  get address(): ParentAddress {
    return this.#address;
  }

  get ready(): boolean {
    return this.#state === "in-use" && this.#options.clock.nowMs() >= this.#pausedUntilMs;
  }

  get inFlight(): number {
    return this.#options.pieceClient.inFlight(this.#address);
  }

  has(index: number): boolean {
    return this.#pieces.has(index);
  }

  /** Takes note of a piece that the parent says it holds. False when that cannot be a piece of this task. */
  note(
    piece: {
      readonly number: number;
      readonly offset: number;
      readonly length: number;
      readonly ip: string;
      readonly tcpPort?: number | undefined;
    },
    layout: PieceLayout,
  ): boolean {
    if (piece.number >= this.#pieces.length) return false;
    const range = pieceRangeOf(layout, piece.number);
    if (range.start !== piece.offset || range.length !== piece.length) return false;
    this.#pieces.set(piece.number);
    if (piece.ip !== "" && piece.tcpPort !== undefined && piece.tcpPort > 0) {
      this.#address = { ip: piece.ip, port: piece.tcpPort, keepsConnection: this.offer.ours };
    }
    return true;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#pausedUntilMs = 0;
  }

  /** It told us something. */
  heard(): void {
    this.#silences = 0;
  }

  /** It stopped telling what it holds. */
  silent(error: AnaxError): ParentState {
    if (this.#state !== "in-use") return this.#state;
    if (isLie(error)) this.#state = "banned";
    else if (++this.#silences >= this.#options.failuresMax) this.#state = "gone";
    return this.#state;
  }

  /** How long to wait before it is asked again what it holds. */
  get silenceMs(): number {
    return this.#backoffMs(this.#silences);
  }

  /** After a failure the parent is left alone for a while; after too many in a row it is gone, after a lie at once and for good. */
  failed(error: AnaxError): ParentState {
    if (this.#state !== "in-use") return this.#state;
    if (isLie(error)) this.#state = "banned";
    else if (++this.#failures >= this.#options.failuresMax) this.#state = "gone";
    else this.#pausedUntilMs = this.#options.clock.nowMs() + this.#backoffMs(this.#failures);
    return this.#state;
  }

  /** The scheduler names it again: a parent that merely could not be reached gets another chance. */
  offeredAgain(): void {
    if (this.#state !== "gone") return;
    this.#state = "in-use";
    this.#failures = 0;
    this.#silences = 0;
    this.#pausedUntilMs = 0;
  }

  #backoffMs(failures: number): number {
    const { random, failuresMax, backoffFirstMs } = this.#options;
    return backoffMs(failures, { attemptsMax: failuresMax, firstMs: backoffFirstMs, maxMs: BACKOFF_MAX_MS }, random);
  }
}

/** Bytes that are not what they claim to be: asking again would only bring more of them. */
const isLie = (error: AnaxError): boolean => error.code === "piece.digest-mismatch" || error.code === "vortex.malformed";
