import { isHopByHop } from "../../wire/http/headers.ts";

/** Header fields as they came: name, value, name, value…, duplicates and spelling kept. */
export type RawHeaders = readonly string[];

/** Calls back for each field; the list always has an even length, Node sees to that. */
function* fieldsOf(raw: RawHeaders): Generator<readonly [name: string, value: string]> {
  for (let i = 0; i + 1 < raw.length; i += 2) yield [raw[i]!, raw[i + 1]!]; // bound just checked
}

/** The fields that a proxy passes on, without those for one connection and without those that `drop` names (lower case). */
export function passedHeaders(raw: RawHeaders, drop: (lowerName: string) => boolean): string[] {
  const nominated = new Set<string>();
  for (const [name, value] of fieldsOf(raw)) {
    if (name.toLowerCase() === "connection") for (const word of value.split(",")) nominated.add(word.trim().toLowerCase());
  }
  const kept: string[] = [];
  for (const [name, value] of fieldsOf(raw)) {
    const lower = name.toLowerCase();
    // Framing stays ours whatever `Connection` claims: a client must not be able to strip a length from its own request.
    const dropped = isHopByHop(lower) || drop(lower) || (nominated.has(lower) && lower !== "content-length" && lower !== "host");
    if (!dropped) kept.push(name, value);
  }
  return kept;
}

/** The first value of a field, or undefined. */
export function rawHeader(raw: RawHeaders, lowerName: string): string | undefined {
  for (const [name, value] of fieldsOf(raw)) if (name.toLowerCase() === lowerName) return value;
  return undefined;
}

/** As one object for the daemon's source reader; repeated fields are joined as RFC 9110 §5.3 allows. */
export function headerRecord(raw: RawHeaders): Record<string, string> {
  const record: Record<string, string> = {};
  for (const [name, value] of fieldsOf(raw)) {
    const lower = name.toLowerCase();
    const before = record[lower];
    record[lower] = before === undefined ? value : `${before}${lower === "cookie" ? "; " : ", "}${value}`;
  }
  return record;
}

/** Fields that speak of one request or of a part or version of its answer: a request of our own for the whole content makes its own. */
export const OF_ONE_REQUEST: ReadonlySet<string> = new Set([
  "accept-encoding",
  "content-length",
  "expect",
  "host",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "range",
  "via",
]);
