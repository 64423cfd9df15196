/** Steps of one comparison: a pattern with many stars could take longer than anybody lives. */
const STEPS_MAX = 1_000_000;
/** Redis gives up on patterns with more. */
const STARS_MAX = 1000;

/**
 * Whether text matches a pattern of `KEYS`, `SCAN`, `PSUBSCRIBE`, …: `*`, `?`, `[a-z]`, `[^a]`, and `\` before a character that means itself. Only the last star
 * needs to be taken back, so the time is at most the product of both lengths.
 */
export function matchesGlob(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let starAt = -1;
  let starText = 0;
  let stars = 0;
  for (let steps = 0; t < text.length; steps++) {
    if (steps > STEPS_MAX) return false;
    if (pattern[p] === "*") {
      if (++stars > STARS_MAX) return false;
      starAt = p++;
      starText = t;
      continue;
    }
    const end = p < pattern.length ? matchedOne(pattern, p, text[t]!) : -1;
    if (end >= 0) {
      p = end;
      t++;
    } else if (starAt >= 0) {
      p = starAt + 1;
      t = ++starText;
    } else return false;
  }
  while (pattern[p] === "*") p++;
  return p >= pattern.length;
}

/** Where the pattern goes on after one character of it, or one set, has matched; -1: it has not. */
function matchedOne(pattern: string, at: number, char: string): number {
  const first = pattern[at]!;
  if (first === "?") return at + 1;
  if (first === "[") return matchedSet(pattern, at, char);
  if (first === "\\" && at + 1 < pattern.length) return pattern[at + 1] === char ? at + 2 : -1;
  return first === char ? at + 1 : -1;
}

function matchedSet(pattern: string, at: number, char: string): number {
  let p = at + 1;
  const negated = pattern[p] === "^";
  if (negated) p++;
  let found = false;
  while (p < pattern.length && pattern[p] !== "]") {
    if (pattern[p] === "\\" && p + 1 < pattern.length) p++;
    if (pattern[p + 1] === "-" && p + 2 < pattern.length) {
      const [a, b] = [pattern[p]!, pattern[p + 2]!];
      if (char >= (a < b ? a : b) && char <= (a < b ? b : a)) found = true;
      p += 3;
    } else found ||= pattern[p++] === char;
  }
  return found !== negated ? p + 1 : -1;
}
