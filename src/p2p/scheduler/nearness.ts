import type { HostFacts } from "./state.ts";

/** Levels of a location, from wide to narrow, that are looked at. */
export const LOCATION_LEVELS_MAX = 5;

/** How many levels two locations share, from the widest down. */
export function commonLevels(here: string, there: string): number {
  if (here === "" || there === "") return 0;
  const other = there.split("|");
  const levels = here.split("|").slice(0, LOCATION_LEVELS_MAX);
  const apart = levels.findIndex((level, at) => level !== other[at]);
  return apart === -1 ? levels.length : apart;
}

/** How many levels one has to go up from a host to find the other: 0 is the same rack. Of hosts without labels nobody knows better. */
export function distanceOf(here: HostFacts, there: HostFacts): number {
  if (here.rack === there.rack) return 0;
  const levels = Math.max(levelsOf(here.location), levelsOf(there.location));
  if (here.idc !== there.idc) return levels + 1;
  return Math.max(1, levels - commonLevels(here.location, there.location));
}

const levelsOf = (location: string): number => (location === "" ? 0 : Math.min(LOCATION_LEVELS_MAX, location.split("|").length));
