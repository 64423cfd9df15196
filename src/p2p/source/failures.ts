import { AnaxError, systemCodeOf, type ErrorDetails } from "../../base/errors.ts";
import { parseContentRange, type ByteRange } from "../../wire/http/range.ts";

/** The parts of a reply that decide whether it is what was asked for. */
export interface ReplyHead {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The error for a reply that is no success: what to do about it depends on the code, what happened is in the details. */
export function statusError(url: string, reply: ReplyHead): AnaxError {
  const { status, headers } = reply;
  const details: ErrorDetails = { url: shownUrl(url), status };
  if (status === 401) return new AnaxError("source.unauthorized", { ...details, wwwAuthenticate: headers["www-authenticate"] });
  if (status === 403) return new AnaxError("source.forbidden", details);
  if (status === 404 || status === 410) return new AnaxError("source.not-found", details);
  if (status === 407) return new AnaxError("source.refused", { ...details, reason: "the proxy wants credentials" });
  if (status === 416) return new AnaxError("task.range-unsatisfiable", { ...details, contentRange: headers["content-range"] });
  const passing = status >= 500 || status === 429 || status === 408;
  return new AnaxError(passing ? "source.bad-status" : "source.refused", { ...details, retryAfter: headers["retry-after"] });
}

/** What stopped a request before the head of the reply came. Errors of this program and the caller's own abort pass unchanged. */
export function unreachableError(url: string, thrown: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  const inner = innermost(thrown);
  if (inner instanceof AnaxError) return inner;
  if (systemCodeOf(inner) === "UND_ERR_INVALID_ARG") return new AnaxError("input.invalid", { reason: inner.message }, { cause: thrown });
  const details = { url: shownUrl(url), systemCode: systemCodeOf(inner), reason: inner.message };
  return new AnaxError("source.unreachable", details, { cause: thrown });
}

/**
 * Checks that a reply carries the range asked for and says how long content and body are. Without a range, 200 is right.
 * A reply may end before the range does where the content ends (RFC 9110 §14.1.2). Throws `source.range-ignored`.
 */
export function lengthsOf(
  url: string,
  range: ByteRange | undefined,
  reply: ReplyHead,
): { readonly contentLength: number | undefined; readonly totalLength: number | undefined } {
  const contentLength = parseLength(reply.headers["content-length"]);
  if (range === undefined) return { contentLength, totalLength: contentLength };
  const ignored = (reason: string): AnaxError =>
    new AnaxError("source.range-ignored", { url: shownUrl(url), status: reply.status, reason });

  if (reply.status !== 206) {
    if (range.start === 0 && contentLength === range.length) return { contentLength, totalLength: contentLength };
    throw ignored("the whole content came");
  }
  const got = parseContentRange(reply.headers["content-range"]);
  if (got?.kind !== "range") throw ignored("no Content-Range");
  const totalLength = got.totalBytes;
  const expected = Math.min(range.length, (totalLength ?? Infinity) - range.start);
  if (got.range.start !== range.start || got.range.length !== expected) throw ignored("another range came");
  if (contentLength !== undefined && contentLength !== expected) throw ignored("Content-Length contradicts Content-Range");
  return { contentLength: expected, totalLength };
}

export function parseLength(text: string | undefined): number | undefined {
  const length = text !== undefined && /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(length) ? length : undefined;
}

/** A URL for people and logs: passwords and query strings (signatures of pre-signed URLs) are left out. */
export function shownUrl(text: string): string {
  const url = URL.parse(text);
  if (url === null) return "(not a URL)";
  return `${url.protocol}//${url.host}${url.pathname}${url.search === "" ? "" : "?…"}`;
}

/** Dual-stack connects and wrapped sockets hide the first cause inside; that is the one a person can act on. */
function innermost(thrown: unknown): Error {
  let error: unknown = thrown;
  for (let depth = 0; depth < 5; depth++) {
    if (error instanceof AnaxError) return error;
    if (error instanceof AggregateError && error.errors.length > 0) error = error.errors[0];
    else if (error instanceof Error && error.cause instanceof Error) error = error.cause;
    else break;
  }
  return error instanceof Error ? error : new Error(String(error));
}
