import { hashOf } from "../../base/fnv.ts";
import { commonLevels, LOCATION_LEVELS_MAX } from "./nearness.ts";
import type { Moment } from "./rules.ts";
import { uploadSlotsOf } from "./rules.ts";
import { isReading, isWhole, type Peer } from "./state.ts";

/** How much each part counts. Load leads: the best parent of all must not become everybody's. */
const WEIGHTS = { load: 0.4, pieces: 0.3, place: 0.2, kind: 0.1 } as const;
/** Only there to part equals, differently for each child. */
const TIE_WEIGHT = 0.01;

/** How good a parent is for a child; higher is better, and only differences mean something. */
export function scoreOf(child: Peer, parent: Peer, moment: Moment): number {
  return (
    WEIGHTS.load * idleness(parent, moment) +
    WEIGHTS.pieces * usefulness(child, parent) +
    WEIGHTS.place * nearness(child, parent) +
    WEIGHTS.kind * kindOf(parent) +
    TIE_WEIGHT * tieBreak(child.id, parent.id)
  );
}

function idleness({ host }: Peer, { config }: Moment): number {
  const load = Math.max(host.childCount, host.uploadsInFlight) / uploadSlotsOf(host, config);
  return 1 / (1 + load);
}

/** The share of what the child lacks that the parent has. */
function usefulness(child: Peer, parent: Peer): number {
  if (isWhole(parent)) return 1;
  const count = (parent.layout ?? parent.task.layout)?.pieceCount;
  const missing = count === undefined ? undefined : count - child.pieces.count;
  if (missing === undefined || missing <= 0) return parent.pieces.count > 0 ? 0.5 : 0;
  return Math.min(1, child.pieces.missingFrom(parent.pieces) / missing);
}

function nearness(child: Peer, parent: Peer): number {
  const here = child.host.facts.place;
  const there = parent.host.facts.place;
  const sameCentre = here.idc !== "" && here.idc === there.idc ? 1 : 0;
  return sameCentre * 0.5 + (commonLevels(here, there) / LOCATION_LEVELS_MAX) * 0.5;
}

/** A seed while it still reads: from it comes what nobody else has. Later it spares itself for new tasks. */
const kindOf = (parent: Peer): number => (isReading(parent) ? 1 : parent.host.facts.seed ? 0.4 : 0.5);

const tieBreak = (child: string, parent: string): number => hashOf(`${child}\0${parent}`) / 0x1_0000_0000;
