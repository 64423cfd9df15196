import { hashOf } from "./score.ts";
import { admitToPart } from "./source.ts";
import { isActive, isOurs, isPushable, isReading, mayReadSource, type Peer, type SourceSpan, type Task } from "./state.ts";
import { note, type Turn } from "./turn.ts";

// One reading of the source, divided among several peers: none of them has to send the whole content on by itself, a slow one holds nobody up, and
// what a dead one was to read is read by another. Each piece is in one part, so nothing is read twice.

/** Fewer pieces are not worth a second request to the source. */
const PART_PIECES_MIN = 8;

/** Divides what is left to read among those who can; looks at what is, so it may be called at any time. */
export function shareSource(turn: Turn, task: Task): void {
  const { layout } = task;
  const { config } = turn.moment;
  task.shareDue = false;
  if (config.sourceShareMax === 1 || layout === undefined || !task.sourceRanges || task.readers.size === 0) return void (task.spans = []);
  const before = task.spans;
  const spans = before.length > 0 ? before.map(withoutLost) : wholeOf(task, layout.pieceCount);
  const next = divided(turn, task, settled(task, spans));
  if (next === undefined || sameAs(before, next)) return;
  task.spans = next;
  tell(turn, task, before);
}

/** The one reader that there is has everything to read. */
function wholeOf(task: Task, pieceCount: number): readonly SourceSpan[] {
  const [reader, ...others] = [...task.readers].filter(isReading);
  const alone = reader !== undefined && others.length === 0 && isOurs(reader.host) && reader.order?.range === undefined;
  return alone ? [{ reader, first: 0, end: pieceCount }] : [];
}

const withoutLost = (span: SourceSpan): SourceSpan =>
  span.reader !== undefined && isReading(span.reader) ? span : { ...span, reader: undefined };

/** A part that is read belongs to nobody any more, lest its reader count as busy. */
function settled(task: Task, spans: readonly SourceSpan[]): readonly SourceSpan[] {
  return spans.filter((span) => leftOf(task, span) > 0);
}

/** Pieces of a part that its reader has not got; of one without a reader, those that nobody has. */
function leftOf(task: Task, { reader, first, end }: SourceSpan): number {
  let left = 0;
  for (let index = first; index < end; index++) if (!has(task, reader, index)) left++;
  return left;
}

const has = (task: Task, reader: Peer | undefined, index: number): boolean =>
  reader === undefined ? task.peers.values().some((peer) => isActive(peer) && peer.pieces.has(index)) : reader.pieces.has(index);

/** Undefined: nobody is there to read, which others see to. */
function divided(turn: Turn, task: Task, spans: readonly SourceSpan[]): readonly SourceSpan[] | undefined {
  let parts = [...spans];
  const orphaned = parts.some(({ reader }) => reader === undefined);
  const places = turn.moment.config.sourceShareMax - readersIn(parts);
  if (!orphaned && (places <= 0 || parts.every((part) => middleOf(task, part) === undefined))) return parts;
  const helpers = helpersOf(task, parts);
  for (const part of spans.filter(({ reader }) => reader === undefined)) {
    const reader = helpers.shift() ?? parts.find((each) => each.reader !== undefined)?.reader;
    if (reader === undefined) return undefined;
    parts = parts.map((each) => (each === part ? { ...part, reader } : each));
  }
  const free = helpers.slice(0, Math.max(0, turn.moment.config.sourceShareMax - readersIn(parts)));
  if (free.length > 0 && parts.length === 1 && isUntouched(task, parts[0]!)) return evenly(parts[0]!, free); // there is one
  for (const helper of free) {
    const [longest] = parts.toSorted((a, b) => leftOf(task, b) - leftOf(task, a));
    const cut = longest === undefined ? undefined : middleOf(task, longest);
    if (longest === undefined || cut === undefined) break;
    parts = parts.flatMap((each) =>
      each === longest
        ? [
            { ...each, end: cut },
            { reader: helper, first: cut, end: each.end },
          ]
        : each,
    );
  }
  return parts;
}

const readersIn = (parts: readonly SourceSpan[]): number => new Set(parts.map(({ reader }) => reader)).size;

/** In the beginning everybody gets as much, in the order of the content, so that the first reader goes on as it began. */
function evenly({ reader, first, end }: SourceSpan, helpers: readonly Peer[]): readonly SourceSpan[] {
  const count = Math.min(helpers.length + 1, Math.floor((end - first) / PART_PIECES_MIN));
  if (count < 2) return [{ reader, first, end }];
  const at = (part: number): number => first + Math.floor(((end - first) * part) / count);
  return [reader, ...helpers].slice(0, count).map((each, part) => ({ reader: each, first: at(part), end: at(part + 1) }));
}

const isUntouched = (task: Task, span: SourceSpan): boolean => leftOf(task, span) * 16 >= (span.end - span.first) * 15;

/** Where to cut what is left of a part in two. What was told is a second old, so a margin is left to its reader. */
function middleOf(task: Task, span: SourceSpan): number | undefined {
  let from = span.first;
  while (from < span.end && has(task, span.reader, from)) from++;
  const left = span.end - from;
  return left < 2 * PART_PIECES_MIN ? undefined : span.end - Math.floor(left * 0.45);
}

/** Peers that may read and have nothing to read, the same order for everybody who looks. */
function helpersOf(task: Task, parts: readonly SourceSpan[]): Peer[] {
  const busy = new Set(parts.map(({ reader }) => reader));
  const able = [...task.peers.values()].filter(
    (peer) => isActive(peer) && isPushable(peer) && mayReadSource(peer) && peer.host.facts.sharing && peer.sourceError === undefined,
  );
  const rank = (peer: Peer): number => (peer.host.facts.seed ? 0 : 1) * 2 ** 32 + hashOf(peer.id);
  return able.filter((peer) => !busy.has(peer) && peer.order?.range === undefined).toSorted((a, b) => rank(a) - rank(b));
}

function tell(turn: Turn, task: Task, before: readonly SourceSpan[]): void {
  const concerned = new Set([...before, ...task.spans].map(({ reader }) => reader));
  for (const peer of concerned) {
    if (peer === undefined || peer.streamId === undefined || !isActive(peer)) continue;
    const spans = task.spans.filter(({ reader }) => reader === peer).map(({ first, end }) => ({ first, end }));
    const old = before.filter(({ reader }) => reader === peer);
    if (
      spans.length === 0 ||
      sameAs(
        old,
        task.spans.filter(({ reader }) => reader === peer),
      )
    )
      continue;
    admitToPart(turn, peer);
    note(turn, task, "source-shared", { peer, fields: { spans: spans.map(({ first, end }) => `${first}-${end - 1}`).join(" ") } });
    turn.effects.push({ do: "shareSource", peerId: peer.id, spans });
  }
}

const sameAs = (a: readonly SourceSpan[], b: readonly SourceSpan[]): boolean =>
  a.length === b.length && a.every((span, i) => span.reader === b[i]?.reader && span.first === b[i]?.first && span.end === b[i]?.end);
