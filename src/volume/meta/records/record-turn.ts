import { constants } from "node:os";
import { AnaxError } from "../../../base/errors.ts";
import { VOLUME_NOT_EXIST } from "../../lifecycle/volume-record.ts";
import type { VolumeFence } from "../control.ts";
import type { ChangeSet } from "../rules/changes.ts";
import type { Turn, VolumeRow } from "../rules/tables.ts";
import type { Outcome } from "../verbs.ts";
import { CHANGELOG, COUNTERS, COUNTERS_KEY, FENCE, FENCE_KEY, hex, json, QUOTAS } from "./keys.ts";
import { sessionIds } from "./record-tables.ts";
import type { View } from "./view.ts";

const { EROFS } = constants.errno;

/** Ids that a client takes in one go; what it does not use nobody gets. */
const IDS = 1024;
/** Entries of the changelog that stay for sessions that are slow to read. */
const KEPT = 20_000;

/** The record of the fence; `uuid` tells whose it is. */
export interface FenceRecord extends VolumeFence {
  readonly uuid: string;
}

export type CountersRecord = readonly [usedBytes: number, usedInodes: number, nextId: number, changeSeq: number];
type Counters = [...CountersRecord];

export function fenceOf(view: View): FenceRecord {
  const value = view.get(FENCE, FENCE_KEY);
  if (value === undefined) throw unknownVolume();
  return json(value) as FenceRecord;
}

/** Which is no proof that it is gone. */
export const unknownVolume = (address?: string): AnaxError =>
  new AnaxError("volume.unreachable", { ...(address !== undefined && { address }), reason: "the engine knows nothing of this volume" });

export const putFence = (view: View, fence: FenceRecord): void => view.put(FENCE, FENCE_KEY, JSON.stringify(fence));
export const countersOf = (view: View): CountersRecord => json(view.get(COUNTERS, COUNTERS_KEY) ?? "[0,0,16,0]") as CountersRecord;
export const putCounters = (view: View, counters: CountersRecord): void => view.put(COUNTERS, COUNTERS_KEY, JSON.stringify(counters));

/** A line of the changelog. */
export interface ChangeRecord extends ChangeSet {
  readonly session: number;
  /** For clients of earlier versions, who look for names there. */
  readonly entries: readonly [];
}

/** The next line of the changelog; its number is in the counters then. */
export function addChange(view: View, counters: Counters, change: Omit<ChangeRecord, "entries">): void {
  const seq = ++counters[3];
  view.put(CHANGELOG, hex(seq), JSON.stringify({ ...change, entries: [] } satisfies ChangeRecord));
  if (seq > KEPT) view.remove(CHANGELOG, hex(seq - KEPT));
}

/** One verb, one transaction: the counters are read when a verb first wants one of them, since others change them all the time. */
export class RecordTurn implements Turn {
  readonly #view: View;
  readonly #sessionId: number;
  readonly #settled: () => void;
  readonly #shared: (shared: boolean) => void;
  #counters: [usedBytes: number, usedInodes: number, nextId: number, changeSeq: number] | undefined;
  #countersBefore = "";
  /** Committed: ids in `[first, end)` are ours. */
  #ids = { first: 0, end: 0 };
  #taken = { first: 0, end: 0 };
  readonly volume: VolumeRow;

  constructor(
    view: View,
    sessionId: number,
    { settled, shared }: { readonly settled: () => void; readonly shared: (shared: boolean) => void },
  ) {
    this.#view = view;
    this.#sessionId = sessionId;
    this.#settled = settled;
    this.#shared = shared;
    const counters = (): [number, number, number, number] => this.#read();
    this.volume = {
      get uuid() {
        return fenceOf(view).uuid;
      },
      get state() {
        return fenceOf(view).state;
      },
      get epoch() {
        return fenceOf(view).epoch;
      },
      get readOnly() {
        return fenceOf(view).readOnly;
      },
      get capacityBytes() {
        return fenceOf(view).capacityBytes;
      },
      get inodesMax() {
        return fenceOf(view).inodesMax;
      },
      get trashMs() {
        return fenceOf(view).trashMs;
      },
      get usedBytes() {
        return counters()[0];
      },
      set usedBytes(bytes) {
        counters()[0] = bytes;
      },
      get usedInodes() {
        return counters()[1];
      },
      set usedInodes(inodes) {
        counters()[1] = inodes;
      },
      get quotas() {
        return view.range(QUOTAS, "0", "g", 1).length;
      },
      get sessions() {
        return sessionIds(view).length;
      },
    };
  }

  /** Before each run of a verb. */
  begin(): void {
    this.#counters = undefined;
    this.#taken = { ...this.#ids };
  }

  read(): void {
    const { uuid, state, epoch } = fenceOf(this.#view);
    if (state === "active" || state === "deleting") return;
    throw new AnaxError("volume.not-exist", { wireCode: VOLUME_NOT_EXIST, volume: uuid, epoch });
  }

  change(): Outcome {
    this.#view.distrust();
    this.read();
    const { state, readOnly } = fenceOf(this.#view);
    return state !== "active" || readOnly ? EROFS : 0;
  }

  takeId(): number {
    if (this.#taken.first >= this.#taken.end) {
      const counters = this.#read();
      this.#taken = { first: counters[2], end: counters[2] + IDS };
      counters[2] += IDS;
    }
    return this.#taken.first++;
  }

  settle(): void {
    this.#settled();
  }

  share(shared: boolean): void {
    this.#shared(shared);
  }

  /** After a run that changed something. */
  finish(changes: ChangeSet | undefined): void {
    if (changes !== undefined && this.volume.sessions > 1) addChange(this.#view, this.#read(), { session: this.#sessionId, ...changes });
    if (this.#counters !== undefined && JSON.stringify(this.#counters) !== this.#countersBefore) putCounters(this.#view, this.#counters);
  }

  /** Nobody knows whether the run was committed: what it took must not be taken again. */
  doubted(): void {
    this.#ids = { first: 0, end: 0 };
  }

  /** The run was committed. */
  committed(): void {
    this.#ids = this.#taken;
  }

  #read(): [number, number, number, number] {
    if (this.#counters === undefined) {
      this.#counters = [...countersOf(this.#view)];
      this.#countersBefore = JSON.stringify(this.#counters);
    }
    return this.#counters;
  }
}
