/** Header fields as Node gives them: lower-case names. */
export type HeaderFields = Readonly<Record<string, string | readonly string[] | undefined>>;

/** For one connection only (RFC 9110 §7.6.1), with the two that older software sends: a proxy never passes them on. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Whether a field, by its lower-case name, is for one connection only. */
export const isHopByHop = (lowerName: string): boolean => HOP_BY_HOP.has(lowerName);

/** The fields that a proxy passes on: without hop-by-hop ones and those that `Connection` names. */
export function endToEndHeaders(headers: HeaderFields): Record<string, string | string[]> {
  const nominated = new Set(
    [headers["connection"] ?? []].flat().flatMap((value) => value.split(",").map((name) => name.trim().toLowerCase())),
  );
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase();
    if (value === undefined || HOP_BY_HOP.has(lower) || nominated.has(lower)) continue;
    kept[name] = typeof value === "string" ? value : [...value];
  }
  return kept;
}

/** The value of a field that may stand only once; of several, the first, as upstream takes it. */
export function singleHeader(headers: HeaderFields, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" || value === undefined ? value : value[0];
}
