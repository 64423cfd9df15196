/** Where a host is, as its labels say; empty texts say nothing. */
export interface Place {
  readonly idc?: string | undefined;
  /** From wide to narrow, divided by "|". */
  readonly location?: string | undefined;
}

/** 0: the same rack, or nobody knows; 1: another rack; 2: another data centre. */
export function distanceBetween(here: Place | undefined, there: Place | undefined): 0 | 1 | 2 {
  if (differ(here?.idc, there?.idc)) return 2;
  return differ(here?.location, there?.location) ? 1 : 0;
}

const differ = (a: string | undefined, b: string | undefined): boolean =>
  a !== undefined && a !== "" && b !== undefined && b !== "" && a !== b;
