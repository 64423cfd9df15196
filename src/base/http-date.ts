/** `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7) for milliseconds since the Unix epoch. */
export const formatHttpDate = (ms: number): string => new Date(ms).toUTCString();

/** Milliseconds since the Unix epoch of an HTTP date; undefined when it is none. */
export function parseHttpDateMs(text: string): number | undefined {
  if (!/^[A-Z][a-z]{2},? [\w :-]+$/.test(text)) return undefined; // Date.parse alone takes nearly anything
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}
