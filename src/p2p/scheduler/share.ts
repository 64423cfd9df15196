import { hashOf } from "../../base/fnv.ts";
import { isDiskFull } from "./rules.ts";
import { admitToPart } from "./source.ts";
import { isActive, isOurs, isPushable, isReading, mayReadSource, type Fields, type Peer, type SourceSpan, type Task } from "./state.ts";
import { note, type Turn } from "./turn.ts";

// One reading of the source, divided among several peers: none of them has to send the whole content on by itself, a slow one holds nobody
// up, and what a dead one was to read is read by another. Each piece is in one part, so nobody is told to read what another
// reads; only what is on its way when a part is cut comes twice.

/** Fewer pieces are not worth a second request to the source. */
const PART_PIECES_MIN = 8;
/** A part that has less left is finished by who reads it. */
const CUT_PIECES_MIN = 4;
/** Readers tell how far they are once a second, and when they are through. */
const STALE_MS = 1000;
/** What hosts tell of their links later than this is what they see of them while this reading takes up speed. */
const KNOWN_MS = 1000;
/** Who comes together with the reader is there by then, and can have a part as well. */
const CROWD_MS = 400;
/** Until then a connection may still be getting going. */
const BEGUN_MS = 700;
/** Messages a second apart may arrive a little closer. */
const TOLD_TIMELY = 0.9;
/** One that has read for less has not shown its pace: most of what it read is not told yet. */
const PACE_MS = 2000;
/** What one reader is through with sooner is not divided: what is on its way when a part is cut is read twice. */
const WORTH_MS = 8000;
/** For the same reason a reader that needs no longer than this for the rest, or than this share of the time so far, is left alone. */
const RELIEF_MS = 2500;
const RELIEF_SHARE = 1 / 8;
/** Or than this times what all, the helper as well, would need for all that is left: one more of many that are as far makes nothing quicker. */
const UNEVEN = 1.6;
/** Of ten thousand, a few dozen tell how quick hosts are. */
const LOOKED_AT = 64;
/** Who reads and sends at this share of the rate that most hosts receive at is quick enough: what is measured is not exact. */
const KEEPS_UP = 0.75;
/** Who is known to have less than this share of that is not. */
const SLOW = 0.6;
/** Nobody gets more than so many times the smallest part, whatever it says of its link. */
const WEIGHT_MAX = 8;
/** Helpers considered at once; a source is not shared by more. */
const HELPERS_MAX = 16;

/** The reading is divided: each reader has parts, and what one of them loses another is given. */
export const isDivided = ({ spans }: Task): boolean => spans.length > 1;

/** Divides what is left to read among those who can; looks at what is, so it may be called at any time. */
export function shareSource(turn: Turn, task: Task): void {
  const { layout, spans: before } = task;
  task.shareDue = false;
  if (turn.moment.config.sourceShareMax === 1 || layout === undefined || !task.sourceRanges || task.readers.size === 0)
    return void (task.spans = []);
  const wasDivided = isDivided(task);
  const next = wasDivided ? dividedAnew(turn, task) : divided(turn, task, layout.pieceCount);
  if (next === undefined) return;
  task.spans = next;
  if (sameAs(before, next)) return;
  if (wasDivided || isDivided(task)) tell(turn, task, before); // one reader has been told to read it all
}

/** Parts that are read stay, so that what is divided remains the whole; their readers have time again. */
const isRead = (task: Task, span: SourceSpan): boolean => leftOf(task, span) === 0;

/** The one reader that there is has everything to read. */
function wholeOf(task: Task, pieceCount: number, sinceMs: number): SourceSpan | undefined {
  const [reader, ...others] = [...task.readers].filter(isReading);
  const alone = reader !== undefined && others.length === 0 && isOurs(reader.host) && reader.order?.range === undefined;
  return alone ? { reader, first: 0, end: pieceCount, sinceMs } : undefined;
}

const withoutLost = (span: SourceSpan): SourceSpan =>
  span.reader !== undefined && isReading(span.reader) ? span : { ...span, reader: undefined };

/** Pieces of a part that its reader has not got; of one without a reader, those that nobody has. */
function leftOf(task: Task, { reader, first, end }: SourceSpan): number {
  let left = 0;
  for (let index = first; index < end; index++) if (!has(task, reader, index)) left++;
  return left;
}

const has = (task: Task, reader: Peer | undefined, index: number): boolean => (reader ?? task.roster).pieces.has(index);

/** Who reads everything is replaced as any reader is: one that is lost is nobody's concern here. */
function divided(turn: Turn, task: Task, pieceCount: number): readonly SourceSpan[] {
  const { nowMs, config } = turn.moment;
  const [known] = task.spans.map(withoutLost);
  const whole = known?.reader === undefined ? wholeOf(task, pieceCount, nowMs) : known;
  if (whole === undefined) return [];
  const reason = reasonToDivide(task, whole, nowMs);
  if (reason === undefined) return [whole.told === undefined ? { ...whole, told: toldOf(whole) } : whole];
  const parts = evenly(task, whole, helpersOf(turn, task, [whole]).slice(0, config.sourceShareMax - 1), nowMs);
  if (parts.length > 1) note(turn, task, "source-divided", { peer: whole.reader!, fields: reason }); // a whole has one
  return parts;
}

/** Undefined: nobody is there to read, which others see to. */
function dividedAnew(turn: Turn, task: Task): readonly SourceSpan[] | undefined {
  const { nowMs, config } = turn.moment;
  const spans = task.spans.map(withoutLost);
  const read = spans.filter((span) => isRead(task, span));
  const open = spans.filter((span) => !read.includes(span));
  const lost = open.filter(({ reader }) => reader === undefined);
  const placesIn = (parts: readonly SourceSpan[]): number => config.sourceShareMax - new Set(parts.map(({ reader }) => reader)).size;
  if (lost.length === 0 && (placesIn(open) <= 0 || open.every((part) => leftOf(task, part) < CUT_PIECES_MIN))) return spans;
  const helpers = helpersOf(turn, task, open);
  let parts: readonly SourceSpan[] = open;
  for (const part of lost) {
    const reader = helpers.shift() ?? parts.find((each) => each.reader !== undefined)?.reader;
    if (reader === undefined) return undefined;
    parts = parts.map((each) => (each === part ? { ...part, reader, sinceMs: nowMs } : each));
  }
  for (const helper of helpers.slice(0, Math.max(0, placesIn(parts)))) parts = relieved(task, parts, helper, nowMs);
  return [...read, ...parts];
}

/** Why others should read as well, with rates in bytes per second; undefined: it is left to the one reader. */
function reasonToDivide(task: Task, whole: SourceSpan, nowMs: number): Fields | undefined {
  const left = leftOf(task, whole);
  const readsForMs = nowMs - whole.sinceMs;
  if (left < CUT_PIECES_MIN || readsForMs < CROWD_MS || (readsForMs >= KNOWN_MS && readsForMs < PACE_MS)) return undefined;
  const { pieceLength } = task.layout!; // it has one
  const { maxRxBandwidth: link = 0, maxTxBandwidth: sends = 0 } = whole.reader?.host.facts.announced.network ?? {};
  const known = { link, sends, usual: usualRateOf(task) };
  if (readsForMs < KNOWN_MS) return isSlow(known, left * pieceLength) ? { because: "known-slow", ...known } : undefined;
  const now = toldOf(whole);
  if (now !== undefined && now.connections > 1 && (left * pieceLength * now.elapsedMs) / now.bytes >= WORTH_MS)
    return { because: "more-by-connections", connections: now.connections, ...known };
  const pace = paceSince(whole, now);
  if (pace === undefined) return readsForMs < 2 * PACE_MS ? undefined : { because: "tells-nothing", ...known };
  if ((left * pieceLength) / pace < WORTH_MS) return undefined;
  const reads = Math.round(pace * 1000);
  if (known.usual === 0) return { because: "links-unknown", reads, ...known };
  if (reads < known.usual * KEEPS_UP) return { because: "reads-slowly", reads, ...known };
  // How fast it sends is seen only once others want it all, and told late. Whoever got everything through a slow uplink so far does not know what
  // its own link takes, so what is read counts as well.
  if (readsForMs < 2 * PACE_MS || sends >= Math.max(known.usual, reads) * KEEPS_UP) return undefined;
  return { because: "sends-slowly", reads, ...known };
}

/** Its link is known to be far slower than others', or to send far less than it receives: nobody has to wait and see. */
function isSlow(
  { link, sends, usual }: { readonly link: number; readonly sends: number; readonly usual: number },
  leftBytes: number,
): boolean {
  const slower = Math.min(link, sends);
  return slower > 0 && slower < Math.max(usual, link) * SLOW && (leftBytes * 1000) / slower >= WORTH_MS;
}

/** Bytes a second at which most of those that want the content can receive, as far as they know; 0 where none does. */
function usualRateOf(task: Task): number {
  const rates = task.roster.traders.peers.slice(0, LOOKED_AT).map(rateOf);
  const known = rates.filter((rate) => rate > 0).toSorted((a, b) => a - b);
  return known[known.length >> 1] ?? 0;
}

const toldOf = ({ reader }: SourceSpan): SourceSpan["told"] => {
  const reading = reader?.permit?.reading;
  return reading === undefined || reading.elapsedMs < BEGUN_MS ? undefined : reading;
};

/** Bytes a millisecond between what it told first and last: how long its connection took to get going says nothing. Undefined: too early to say. */
function paceSince({ told: first }: SourceSpan, last: SourceSpan["told"]): number | undefined {
  if (first === undefined || last === undefined || last.elapsedMs - first.elapsedMs < STALE_MS * TOLD_TIMELY) return undefined;
  return (last.bytes - first.bytes) / (last.elapsedMs - first.elapsedMs);
}

/** At first everybody gets as much of the rest as its link takes, in the order of the content, so that the first reader goes on as it began. */
function evenly(task: Task, whole: SourceSpan, helpers: readonly Peer[], sinceMs: number): readonly SourceSpan[] {
  const { reader, first, end } = whole;
  const from = firstMissing(task, whole);
  const count = Math.min(helpers.length + 1, Math.floor((end - from) / PART_PIECES_MIN));
  if (count < 2) return [whole];
  const readers = [reader, ...helpers].slice(0, count);
  const weights = weightsOf(readers);
  const total = sumOf(weights);
  // A piece at least: who has nothing to read would not be told so.
  const at = (part: number): number =>
    part === 0 ? first : from + Math.max(part, Math.floor(((end - from) * sumOf(weights.slice(0, part))) / total));
  return readers.map((each, part) => ({ reader: each, first: at(part), end: at(part + 1), sinceMs }));
}

/** What each host says that its link takes, within reason; all the same where one does not know. */
function weightsOf(readers: readonly (Peer | undefined)[]): readonly number[] {
  const rates = readers.map(rateOf);
  const least = Math.min(...rates);
  return least > 0 ? rates.map((rate) => Math.min(rate, least * WEIGHT_MAX)) : rates.map(() => 1);
}

/** What its link takes, bytes per second, as its host has measured; 0 where nobody knows. */
const rateOf = (peer: Peer | undefined): number => peer?.host.facts.announced.network?.maxRxBandwidth ?? 0;

const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, each) => sum + each, 0);

function firstMissing(task: Task, { reader, first, end }: SourceSpan): number {
  let from = first;
  while (from < end && has(task, reader, from)) from++;
  return from;
}

/** The helper takes from the part that would be finished last as much as it reads until the slower one has read the rest. */
function relieved(task: Task, parts: readonly SourceSpan[], helper: Peer, nowMs: number): readonly SourceSpan[] {
  const rated = parts.map((part) => ({ part, left: leftOf(task, part), pace: paceOf(task, part, nowMs) }));
  const best = Math.max(...rated.map(({ pace }) => pace));
  const together = rated.reduce((sum, { pace }) => sum + pace, 0);
  // Who has just begun with a part is left alone: each cut costs what is on its way.
  const [latest] = rated.filter(({ part }) => nowMs - part.sinceMs >= PACE_MS).toSorted((a, b) => b.left / b.pace - a.left / a.pace);
  const sinceMs = Math.min(...task.spans.map((span) => span.sinceMs));
  const sharedMs = rated.reduce((sum, { left }) => sum + left, 0) / (together + best);
  const patienceMs = Math.max(RELIEF_MS, (nowMs - sinceMs) * RELIEF_SHARE, sharedMs * UNEVEN);
  if (latest === undefined || latest.left < CUT_PIECES_MIN || latest.left / latest.pace < patienceMs) return parts;
  const { part, left, pace } = latest;
  // What was told of it is up to a second old: what it may have read since, and the piece that it is reading, are left to it. Where others
  // are through, it may have become faster.
  const kept = Math.max(Math.ceil(Math.min(together, 2 * pace) * STALE_MS) + 1, Math.round((left * pace) / (pace + best)));
  const cut = firstMissing(task, part) + kept;
  if (part.end - cut < 2) return parts;
  return parts.flatMap((each) =>
    each === part
      ? [
          { ...part, end: cut },
          { reader: helper, first: cut, end: part.end, sinceMs: nowMs },
        ]
      : each,
  );
}

/** Pieces a millisecond, of the part as it is; slow until it has shown otherwise. */
function paceOf(task: Task, span: SourceSpan, nowMs: number): number {
  const done = span.end - span.first - leftOf(task, span);
  return (done + 0.5) / Math.max(STALE_MS, nowMs - span.sinceMs);
}

/** Peers that may read and have nothing to read, the same order for everybody who looks. */
function helpersOf({ cluster, moment }: Turn, task: Task, parts: readonly SourceSpan[]): Peer[] {
  const room = Math.min(cluster.budget.roomFor(task), moment.config.backToSourceCount - task.readers.size);
  const busy = new Set(parts.map(({ reader }) => reader));
  const quickest = Math.max(...parts.map(({ reader }) => rateOf(reader)));
  // One that has read its small part through is no help to those with quick links. Who does not know its link may be quick.
  const isQuick = (peer: Peer): boolean => rateOf(peer) === 0 || rateOf(peer) >= quickest / 2;
  const isAble = (peer: Peer): boolean =>
    isPushable(peer) &&
    mayReadSource(peer) &&
    !isDiskFull(peer.host, moment) &&
    !busy.has(peer) &&
    (isQuick(peer) || !isDivided(task)) &&
    peer.sourceError === undefined &&
    peer.order?.range === undefined;
  // The first few in order, without putting ten thousand in order.
  const first: { readonly peer: Peer; readonly rank: number }[] = [];
  for (const peer of task.roster.traders.peers) {
    if (!isAble(peer)) continue;
    const rank = rankOf(peer);
    if (first.length === HELPERS_MAX && rank > first.at(-1)!.rank) continue; // it is full
    first.push({ peer, rank });
    first.sort((a, b) => a.rank - b.rank);
    if (first.length > HELPERS_MAX) first.pop();
  }
  const helpers = first.map(({ peer }) => peer);
  // Who has leave already needs no room.
  return helpers.filter((peer, at) => peer.permit !== undefined || at < room);
}

const rankOf = (peer: Peer): number => (peer.host.facts.seed ? 0 : 1) * 2 ** 32 + hashOf(peer.id);

function tell(turn: Turn, task: Task, before: readonly SourceSpan[]): void {
  const concerned = new Set([...before, ...task.spans].map(({ reader }) => reader));
  for (const peer of concerned) {
    if (peer === undefined || peer.streamId === undefined || !isActive(peer)) continue;
    const own = partsOf(peer, task.spans);
    if (own.length === 0 || sameAs(partsOf(peer, before), own)) continue;
    const spans = own.map(({ first, end }) => ({ first, end }));
    admitToPart(turn, peer);
    note(turn, task, "source-shared", { peer, fields: { spans: spans.map(({ first, end }) => `${first}-${end - 1}`).join(" ") } });
    turn.effects.push({ do: "shareSource", peerId: peer.id, spans });
  }
}

const partsOf = (peer: Peer, spans: readonly SourceSpan[]): readonly SourceSpan[] => spans.filter(({ reader }) => reader === peer);

const sameAs = (a: readonly SourceSpan[], b: readonly SourceSpan[]): boolean =>
  a.length === b.length && a.every((span, i) => span.reader === b[i]?.reader && span.first === b[i]?.first && span.end === b[i]?.end);
