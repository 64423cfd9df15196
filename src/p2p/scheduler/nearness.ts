/** Levels of a location, from wide to narrow, that are looked at. */
export const LOCATION_LEVELS_MAX = 5;

/** Where a host is, as its labels say; taken apart once, since places are compared by the thousand. */
export interface Place {
  readonly idc: string;
  readonly levels: readonly string[];
  /** All in one, to be compared; empty when the labels say nothing. */
  readonly rack: string;
}

/** `location` is divided by "|", from wide to narrow. */
export function placeOf(idc: string, location: string): Place {
  const levels = location === "" ? [] : location.split("|").slice(0, LOCATION_LEVELS_MAX);
  return { idc, levels, rack: idc === "" && location === "" ? "" : `${idc}|${location}` };
}

/** How many levels two locations share, from the widest down. */
export function commonLevels(here: Place, there: Place): number {
  const both = Math.min(here.levels.length, there.levels.length);
  let common = 0;
  while (common < both && here.levels[common] === there.levels[common]) common++;
  return common;
}

/** How many levels one has to go up from a place to find the other: 0 is the same rack. Without labels nobody knows better. */
export function distanceOf(here: Place, there: Place): number {
  if (here.rack === there.rack) return 0;
  const levels = Math.max(here.levels.length, there.levels.length);
  return here.idc === there.idc ? Math.max(1, levels - commonLevels(here, there)) : levels + 1;
}
