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

/** The value of a field that may stand only once; of several, the first, as upstream takes it. */
export function singleHeader(headers: HeaderFields, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" || value === undefined ? value : value[0];
}
