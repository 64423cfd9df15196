import { isIndex, type CommitRequest, type Fetched, type FetchRequest, type Pair, type StoredRecord, type Want } from "./record-store.ts";

/** More groups than this are forgotten between transactions. */
const CACHED_MAX = 65_536;

/** What a transaction needs and does not know yet. */
export class Miss extends Error {
  readonly wants: readonly Want[];

  constructor(wants: readonly Want[]) {
    super("records are wanted");
    this.wants = wants;
  }
}

interface Group {
  version: string;
  /** Monotonic: when the engine last said that the version is this one. */
  checkedMs: number;
  readonly points: Map<string, string | undefined>;
  readonly ranges: Map<string, readonly Pair[]>;
}

/**
 * Records as one transaction sees them: what was read before, as long as its group's version is the same, below what the transaction itself has changed. What is
 * not known is thrown as `Miss`; once it has been fetched, the transaction runs again from its beginning.
 */
export class View {
  readonly #groups = new Map<string, Group>();
  /** Of this transaction. */
  readonly #indexes = new Map<string, Group>();
  /** Of this run of it. */
  readonly #read = new Set<string>();
  readonly #changed = new Map<string, Map<string, string | undefined>>();
  readonly #gone = new Set<string>();
  #startedMs = 0;
  #trustedMs = 0;

  /** A new transaction. What was checked at `trustedMs` or later needs no other look, if it changes nothing. */
  begin(nowMs: number, trustedMs: number): void {
    if (this.#groups.size > CACHED_MAX) this.#groups.clear();
    this.#indexes.clear();
    this.#startedMs = nowMs;
    this.#trustedMs = Math.min(nowMs, trustedMs);
  }

  /** The same one from its beginning. */
  restart(): void {
    this.#read.clear();
    this.#changed.clear();
    this.#gone.clear();
  }

  get(group: string, key: string): string | undefined {
    const changed = this.#changed.get(group);
    if (changed?.has(key) === true) return changed.get(key);
    if (this.#gone.has(group)) return undefined;
    const known = this.#known(group);
    if (known?.version === "") return undefined;
    const value = known?.points.get(key);
    if (value === undefined && known?.points.has(key) !== true) throw new Miss([{ group, key }]);
    return value;
  }

  /** Those in `[from, to)`, in order. */
  range(group: string, from: string, to: string, countMax: number): readonly Pair[] {
    const changed = [...(this.#changed.get(group) ?? [])].filter(([key]) => key >= from && key < to);
    const stored = this.#gone.has(group) ? [] : this.#stored(group, from, to, countMax + changed.length);
    if (changed.length === 0) return stored;
    const merged = new Map<string, string | undefined>([...stored, ...changed]);
    const last = stored.length === countMax + changed.length ? stored.at(-1)![0] : to; // there is one
    return [...merged]
      .filter((pair): pair is [string, string] => pair[1] !== undefined && pair[0] <= last)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .slice(0, countMax);
  }

  /** These will be asked for one by one: what is not known comes in one go. */
  expect(wants: readonly Want[]): void {
    const missing = wants.filter(({ group, key, to, countMax }) => {
      const known = this.#known(group);
      if (this.#gone.has(group) || known?.version === "") return false;
      if (to !== undefined) return known?.ranges.has(rangeName(key, to, countMax ?? 0)) !== true;
      return this.#changed.get(group)?.has(key) !== true && known?.points.has(key) !== true;
    });
    if (missing.length > 0) throw new Miss(missing);
  }

  /** Of a group that was asked for. */
  versionOf(group: string): string {
    return this.#groups.get(group)?.version ?? "";
  }

  put(group: string, key: string, value: string): void {
    this.#changesOf(group).set(key, value);
  }

  remove(group: string, key: string): void {
    this.#changesOf(group).set(key, undefined);
  }

  /** The group with all its records. */
  drop(group: string): void {
    this.#changed.delete(group);
    this.#gone.add(group);
  }

  /** That nobody ever had this group, unless something is known of it: ids are given once. */
  assumeNew(group: string): void {
    if (!this.#groups.has(group)) this.#groups.set(group, { version: "", checkedMs: 0, points: new Map(), ranges: new Map() });
    this.#read.add(group);
  }

  get isChanged(): boolean {
    return this.#changed.size + this.#gone.size > 0;
  }

  /** It may change something, so that also a refusal has to be as of now. */
  distrust(): void {
    this.#trustedMs = this.#startedMs;
  }

  /** That nothing it read may have changed since it began. */
  get isCurrent(): boolean {
    for (const group of this.#read) if ((this.#groups.get(group)?.checkedMs ?? -1) < this.#trustedMs) return false;
    return true;
  }

  /** Asks for `wants`, and whether all that was read so far is still so. */
  request(wants: readonly Want[]): FetchRequest {
    return { wants, groups: [...new Set([...this.#read, ...wants.map(({ group }) => group).filter((group) => !isIndex(group))])] };
  }

  take({ wants, groups }: FetchRequest, { found, versions }: Fetched, nowMs: number): void {
    for (const [index, group] of groups.entries()) {
      const version = versions[index] ?? "";
      const known = this.#groups.get(group);
      if (known?.version === version) known.checkedMs = nowMs;
      else this.#groups.set(group, { version, checkedMs: nowMs, points: new Map(), ranges: new Map() });
    }
    for (const [index, { group, key, to, countMax }] of wants.entries()) {
      const pairs = found[index] ?? [];
      const known = isIndex(group) ? this.#indexOf(group) : this.#groups.get(group)!; // all wanted groups were asked for
      if (to === undefined) known.points.set(key, pairs[0]?.[1]);
      else {
        known.ranges.set(rangeName(key, to, countMax ?? 0), pairs);
        for (const [at, value] of pairs) known.points.set(at, value);
      }
    }
  }

  /** What is to be committed. */
  commit(stamp: string, also: readonly string[]): CommitRequest {
    const touched = new Set(also);
    const puts: StoredRecord[] = [];
    const removes: [string, string][] = [];
    for (const [group, changes] of this.#changed) {
      if (!isIndex(group)) touched.add(group);
      for (const [key, value] of changes)
        if (value === undefined) removes.push([group, key]);
        else puts.push([group, key, value]);
    }
    const checks = [...this.#read].map((group) => [group, this.#groups.get(group)?.version ?? ""] as const);
    return { checks, stamp, touched: [...touched], gone: [...this.#gone], puts, removes };
  }

  /** It was committed. */
  committed({ stamp, touched, gone }: CommitRequest, nowMs: number): void {
    for (const group of this.#read) {
      const known = this.#groups.get(group);
      if (known !== undefined) known.checkedMs = nowMs; // its version was compared
    }
    for (const group of gone) this.#groups.set(group, { version: "", checkedMs: nowMs, points: new Map(), ranges: new Map() });
    for (const group of touched) {
      const known = this.#groups.get(group);
      const wasChecked = this.#read.has(group) || gone.includes(group);
      if (known === undefined || !wasChecked) {
        this.#groups.delete(group); // others may have changed it before
        continue;
      }
      known.version = stamp;
      for (const [key, value] of this.#changed.get(group) ?? []) {
        known.points.set(key, value);
        for (const name of known.ranges.keys()) if (isInRange(name, key)) known.ranges.delete(name);
      }
    }
  }

  #stored(group: string, from: string, to: string, countMax: number): readonly Pair[] {
    const known = this.#known(group);
    if (known?.version === "") return [];
    const pairs = known?.ranges.get(rangeName(from, to, countMax));
    if (pairs === undefined) throw new Miss([{ group, key: from, to, countMax }]);
    return pairs;
  }

  #known(group: string): Group | undefined {
    if (isIndex(group)) return this.#indexes.get(group);
    this.#read.add(group);
    return this.#groups.get(group);
  }

  #indexOf(group: string): Group {
    let known = this.#indexes.get(group);
    if (known === undefined) this.#indexes.set(group, (known = { version: "~", checkedMs: 0, points: new Map(), ranges: new Map() }));
    return known;
  }

  #changesOf(group: string): Map<string, string | undefined> {
    let changes = this.#changed.get(group);
    if (changes === undefined) this.#changed.set(group, (changes = new Map()));
    return changes;
  }
}

/** No key has a NUL. */
const rangeName = (from: string, to: string, countMax: number): string => `${from}\0${to}\0${countMax}`;

function isInRange(name: string, key: string): boolean {
  const [from = "", to = ""] = name.split("\0", 2);
  return key >= from && key < to;
}
