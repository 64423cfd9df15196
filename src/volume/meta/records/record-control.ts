import { constants } from "node:os";
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../../../base/clock.ts";
import {
  SESSION_TTL_MS,
  type DirectoryQuota,
  type ForeignChanges,
  type Peers,
  type Pulse,
  type Session,
  type SessionInfo,
  type VolumeControl,
  type VolumeFence,
} from "../control.ts";
import type { HeldLock } from "../lock-ranges.ts";
import { DEPTH_MAX } from "../rules/quotas.ts";
import { BLOB_DOOMED, BLOB_PENDING, type Tables } from "../rules/tables.ts";
import { ROOT_INO } from "../verbs.ts";
import {
  ACKNOWLEDGED,
  after,
  CHANGELOG,
  COUNTERS,
  COUNTERS_KEY,
  hex,
  inodeGroup,
  json,
  keptIndex,
  markerGroup,
  numberOf,
  QUOTAS,
  SEEN,
  SESSIONS,
  UNSETTLED_BLOBS,
  wantedIndex,
} from "./keys.ts";
import type { RecordStore } from "./record-store.ts";
import { blobOf, putBlob, recordTables } from "./record-tables.ts";
import { addChange, countersOf, fenceOf, putCounters, putFence, type ChangeRecord } from "./record-turn.ts";
import { run, transactionOf } from "./transaction.ts";
import { View } from "./view.ts";

const { ENOENT, ENOTDIR } = constants.errno;
const CHANGES_MAX = 4096;
const ALL = 1_000_000;
/** Of one transaction. */
const STEP = 256;
/** Clocks of two machines are never so far apart. */
const SKEW_MS_MAX = 600_000;
/** In place of a session: see rules/removal.ts. */
const COLLECTOR = 0;

type SessionRecord = SessionInfo & { readonly startedAtMs: number };

/** The control of a volume over an engine elsewhere. */
export async function openRecordControl(store: RecordStore, clock: Clock): Promise<VolumeControl> {
  const control = new RecordControl(store, clock);
  await control.open();
  return control;
}

class RecordControl implements VolumeControl {
  volumeUuid = "";
  readonly #store: RecordStore;
  readonly #clock: Clock;
  /** The last sign of life of each session, and since when it is the last. */
  readonly #watched = new Map<number, { readonly seenAtMs: number; readonly sinceMs: number }>();

  constructor(store: RecordStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  async open(): Promise<void> {
    this.volumeUuid = await this.#run(({ view }) => fenceOf(view).uuid);
  }

  readFence(): Promise<VolumeFence> {
    return this.#run(({ view }) => {
      const { uuid: _, ...fence } = fenceOf(view);
      return fence;
    });
  }

  writeFence({ state, epoch, readOnly, capacityBytes, inodesMax, trashMs }: VolumeFence): Promise<boolean> {
    return this.#run(({ view }) => {
      const before = fenceOf(view);
      const wanted = { uuid: before.uuid, state, epoch, readOnly, capacityBytes, inodesMax, trashMs };
      // Of two machines that change it at once one is told; the same again is a repetition.
      if (before.epoch > epoch || (before.epoch === epoch && !isDeepStrictEqual({ ...before, ...wanted }, before))) return false;
      putFence(view, { ...before, ...wanted });
      return true;
    });
  }

  async beginSession(info: SessionInfo): Promise<number> {
    await this.#sweep();
    return this.#run(({ view }) => {
      const id = Number(view.get(SESSIONS, "next") ?? "1");
      view.put(SESSIONS, "next", String(id + 1));
      this.#putSession(view, id, info);
      return id;
    });
  }

  async heartbeat(id: number, info: SessionInfo): Promise<Pulse> {
    const pulse = await this.#run(({ view }) => {
      const { state, epoch } = fenceOf(view);
      const revived = view.get(SESSIONS, hex(id)) === undefined;
      if (revived) this.#putSession(view, id, info);
      else view.put(SEEN, hex(id), String(this.#clock.wallMs()));
      return { state, epoch, changeSeq: countersOf(view)[3], revived };
    });
    await this.#sweep();
    return pulse;
  }

  async endSession(id: number): Promise<void> {
    await this.#run(({ view }) => {
      view.get(SESSIONS, hex(id));
      view.remove(SESSIONS, hex(id));
      view.remove(SEEN, hex(id));
      view.remove(ACKNOWLEDGED, hex(id));
      view.drop(markerGroup(id));
    });
    await this.#release(id);
  }

  sessions(): Promise<readonly Session[]> {
    return this.#run(({ view }) => sessionsOf(view));
  }

  join(id: number): Promise<number> {
    return this.#run(({ view }) => {
      const counters: [number, number, number, number] = [...countersOf(view)];
      addChange(view, counters, { session: id, everything: false, inos: [], unlocked: [] });
      putCounters(view, counters);
      view.put(ACKNOWLEDGED, hex(id), String(counters[3]));
      return counters[3];
    });
  }

  peers(): Promise<Peers> {
    return this.#run(({ view }) => {
      const all = { key: "0", to: after("f"), countMax: ALL };
      view.expect([{ group: COUNTERS, key: COUNTERS_KEY }, ...[SEEN, ACKNOWLEDGED, SESSIONS].map((group) => ({ group, ...all }))]);
      return { changeSeq: countersOf(view)[3], sessions: sessionsOf(view) };
    });
  }

  acknowledge(id: number, seq: number): Promise<void> {
    return this.#run(({ view }) => {
      const known = view.get(ACKNOWLEDGED, hex(id));
      if (known !== undefined && Number(known) < seq) view.put(ACKNOWLEDGED, hex(id), String(seq));
    });
  }

  want(ino: number, holder: number): Promise<boolean> {
    return this.#run(({ view }) => {
      if (view.get(wantedIndex(holder), hex(ino)) !== undefined) return false;
      view.put(wantedIndex(holder), hex(ino), "");
      return true;
    });
  }

  wanted(id: number): Promise<readonly number[]> {
    return this.#run(({ view }) => view.range(wantedIndex(id), "0", after("f"), STEP).map(([key]) => numberOf(key)));
  }

  tell(): void {
    this.#store.tell().catch(() => undefined);
  }

  listen(onTold: () => void): AsyncDisposable | undefined {
    return this.#store.listen(onTold);
  }

  changesSince(seq: number, sessionId: number): Promise<ForeignChanges> {
    return this.#run(({ view }) => {
      const last = countersOf(view)[3];
      const lines = view.range(CHANGELOG, hex(seq + 1), after("f"), CHANGES_MAX + 1);
      const foreign = lines.map(([, value]) => json(value) as ChangeRecord).filter(({ session }) => session !== sessionId);
      const isCut = lines.length > CHANGES_MAX || (lines.length > 0 && numberOf(lines[0]![0]) > seq + 1);
      return {
        seq: Math.max(last, lines.length > 0 ? numberOf(lines.at(-1)![0]) : 0),
        everything: isCut || foreign.some(({ everything }) => everything),
        inos: [...new Set(foreign.flatMap(({ inos }) => inos))],
        unlocked: [...new Set(foreign.flatMap(({ unlocked }) => unlocked))],
      };
    });
  }

  pathOf(ino: number): Promise<string> {
    return this.#run(({ nodes, edges }) => {
      const names: string[] = [];
      for (let at = ino; at !== ROOT_INO && names.length < DEPTH_MAX;) {
        const parent = nodes.get(at)?.parent;
        const name = parent === undefined ? undefined : edges.nameOf(parent, at);
        if (parent === undefined || name === undefined) return `#${ino}`;
        names.unshift(Buffer.from(name, "latin1").toString("utf8"));
        at = parent;
      }
      return `/${names.join("/")}`;
    });
  }

  quotas(): Promise<readonly DirectoryQuota[]> {
    return this.#run(({ quotas }) => quotas.all());
  }

  setQuota(
    ino: number,
    { bytesMax, inodesMax }: { readonly bytesMax: number; readonly inodesMax: number },
  ): Promise<DirectoryQuota | number | undefined> {
    return this.#run((tables) => {
      const node = tables.nodes.get(ino);
      if (node === undefined) return ENOENT;
      if (node.kind !== "directory") return ENOTDIR;
      tables.quotas.remove(ino);
      if (bytesMax === 0 && inodesMax === 0) return undefined;
      const used = usageBelow(tables, ino);
      tables.view.put(QUOTAS, hex(ino), JSON.stringify([bytesMax, inodesMax, used.usedBytes, used.usedInodes]));
      return { ino, bytesMax, inodesMax, ...used };
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.#store[Symbol.asyncDispose]());
  }

  #putSession(view: View, id: number, { host, pid, mountpoint, readOnly }: SessionInfo): void {
    const startedAtMs = this.#clock.wallMs();
    view.put(SESSIONS, hex(id), JSON.stringify({ host: latin1(host), pid, mountpoint: latin1(mountpoint), readOnly, startedAtMs }));
    view.put(SEEN, hex(id), String(startedAtMs));
  }

  /**
   * Ends sessions that have been silent for too long: as seen from here, since clocks of machines differ. Who has not watched for so long believes the clocks where they are further
   * apart than any two may be.
   */
  async #sweep(): Promise<void> {
    const nowMs = this.#clock.nowMs();
    const sessions = await this.sessions();
    const watched = new Map(this.#watched);
    this.#watched.clear();
    for (const { id, seenAtMs } of sessions) {
      const known = watched.get(id);
      const since = known?.seenAtMs === seenAtMs ? known : { seenAtMs, sinceMs: nowMs };
      if (nowMs - since.sinceMs > SESSION_TTL_MS || this.#clock.wallMs() - seenAtMs > SKEW_MS_MAX) await this.endSession(id);
      else this.#watched.set(id, since);
    }
  }

  /** What a session had that is no more: its locks, what only it kept, what it entered and did not commit. In steps, so that no transaction gets large. */
  async #release(id: number): Promise<void> {
    while (await this.#run((tables) => releaseSome(tables, id)));
    await this.#doomEntered(id);
  }

  async #doomEntered(session: number): Promise<void> {
    const nowMs = this.#clock.wallMs();
    for (let from = "0"; ;) {
      const at = from;
      const keys = await this.#run(({ view }) => {
        const found = view.range(UNSETTLED_BLOBS, at, after("f"), STEP).map(([key]) => key);
        const ids = found.map((key) => numberOf(key.slice(hex(0).length)));
        view.expect(ids.map((blob) => ({ group: `b${hex(blob)}`, key: "b" })));
        for (const blob of ids) {
          const before = blobOf(view, blob);
          if (before === undefined || before[3] !== BLOB_PENDING || before[4] !== session) continue;
          putBlob(view, blob, before, [before[0], before[1], before[2], BLOB_DOOMED, session, nowMs]);
        }
        return found;
      });
      if (keys.length < STEP) return;
      from = `${keys.at(-1)!}0`;
    }
  }

  /** Only with the record of the volume; see `transactionOf`. */
  #run<T>(work: (tables: Tables & { readonly view: View }) => T): Promise<T> {
    const view = new View();
    const tables = { ...recordTables(view, { id: 0, wallMs: () => this.#clock.wallMs() }), view };
    const steps = transactionOf({ view, clock: this.#clock, begin: () => undefined, work: () => work(tables), finish: () => undefined });
    return run(steps, this.#store, this.#clock);
  }
}

function sessionsOf(view: View): readonly Session[] {
  const [seen, acknowledged] = [SEEN, ACKNOWLEDGED].map((index) => new Map(view.range(index, "0", after("f"), ALL)));
  return view.range(SESSIONS, "0", after("f"), ALL).map(([key, value]) => {
    const { host, mountpoint, ...record } = json(value) as SessionRecord;
    const texts = { host: utf8(host), mountpoint: utf8(mountpoint) };
    const seq = acknowledged!.get(key);
    const acknowledgedSeq = seq === undefined ? undefined : Number(seq);
    return { ...record, ...texts, id: numberOf(key), seenAtMs: Number(seen!.get(key) ?? record.startedAtMs), acknowledgedSeq };
  });
}

/** True: there may be more. */
function releaseSome({ view, kept, leases }: Tables & { readonly view: View }, session: number): boolean {
  const keys = view.range(keptIndex(session), "0", after("w"), STEP).map(([key]) => key);
  for (const key of keys) {
    view.remove(keptIndex(session), key);
    if (key.startsWith("w")) {
      leases.remove(numberOf(key.slice(1)), session);
      continue;
    }
    if (key.startsWith("l")) {
      releaseLocks(view, numberOf(key.slice(1)), session);
      continue;
    }
    const ino = numberOf(key);
    if (view.get(inodeGroup(ino), `o${session}`) === undefined) continue;
    kept.remove(ino, session);
    kept.add(ino, COLLECTOR);
  }
  return keys.length === STEP;
}

function releaseLocks(view: View, ino: number, session: number): void {
  for (const family of ["posix", "flock"]) {
    const value = view.get(inodeGroup(ino), `l${family}`);
    if (value === undefined) continue;
    const left = (json(value) as HeldLock[]).filter((lock) => lock.session !== session);
    if (left.length === 0) view.remove(inodeGroup(ino), `l${family}`);
    else view.put(inodeGroup(ino), `l${family}`, JSON.stringify(left));
  }
}

/** What lies below a directory, each inode once, with what is in the trash: its bytes count until they are gone. The directory itself counts for the one above. */
function usageBelow(
  { view, nodes, edges }: Tables & { readonly view: View },
  directory: number,
): { usedBytes: number; usedInodes: number } {
  const seen = new Set<number>();
  const used = { usedBytes: 0, usedInodes: 0 };
  const waiting = [directory];
  view.get(COUNTERS, "n"); // whoever changes what is counted changes this, too
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    const trashed = view.range(inodeGroup(at), "h", after("h"), ALL).map(([key]) => numberOf(key.slice(1)));
    const named = edges.list(at, 0, ALL);
    nodes.expect(at, named);
    for (const ino of [...named.map((edge) => edge.ino), ...trashed]) {
      const node = seen.has(ino) ? undefined : nodes.get(ino);
      if (node === undefined || node.parent !== at) continue;
      seen.add(ino);
      used.usedBytes += node.allocated;
      used.usedInodes += node.nlink > 0 ? 1 : 0;
      if (node.kind === "directory") waiting.push(ino);
    }
  }
  return used;
}

/** Records hold bytes. */
const latin1 = (text: string): string => Buffer.from(text).toString("latin1");
const utf8 = (bytes: string): string => Buffer.from(bytes, "latin1").toString();
