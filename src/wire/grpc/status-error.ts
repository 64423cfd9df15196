import { AnaxError, isErrorCode, type ErrorCode, type ErrorDetails } from "../../base/errors.ts";

/** How a call ended that did not end well, whoever carried it. */
export interface FailedCall {
  /** gRPC's own number. */
  readonly code: number;
  readonly message: string;
  /** The trailers of our own servers. */
  readonly ownCode?: string | undefined;
  readonly ownDetails?: Buffer | undefined;
}

export const CODE_TRAILER = "anax-error-code";
export const DETAILS_TRAILER = "anax-error-details-bin";

/** Trailers travel in one header block, which the other side bounds; the code matters more than a long explanation. */
export const DETAILS_BYTES_MAX = 4096;

/** The error of a failed call: ours where the trailers name it, `rpc.*` for a foreign peer. */
export function errorOfCall(failed: FailedCall, method: string, cause?: unknown): AnaxError {
  const { code, message, ownCode, ownDetails } = failed;
  if (ownCode !== undefined && isErrorCode(ownCode)) return new AnaxError(ownCode, detailsOf(ownDetails), { cause });
  return new AnaxError(FOREIGN[code] ?? "rpc.unknown", { method, reason: message }, { cause });
}

/** Details come from the other side: only plain values of the expected kinds are kept. */
function detailsOf(bytes: Buffer | undefined): ErrorDetails {
  if (bytes === undefined || bytes.length > DETAILS_BYTES_MAX) return {};
  try {
    const parsed: unknown = JSON.parse(bytes.toString("utf8"));
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return {};
    return Object.fromEntries(Object.entries(parsed).filter(([, value]) => isDetail(value)));
  } catch {
    return {}; // damaged details must not hide the error that they belong to
  }
}

function isDetail(value: unknown): boolean {
  if (Array.isArray(value)) return value.every((item) => typeof item === "string");
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}

/** By gRPC's numbers; 2 is "unknown", and so is any that is not here. */
const FOREIGN: Readonly<Partial<Record<number, ErrorCode>>> = {
  1: "rpc.cancelled",
  3: "rpc.invalid-argument",
  4: "rpc.deadline-exceeded",
  5: "rpc.not-found",
  6: "rpc.already-exists",
  7: "rpc.permission-denied",
  8: "rpc.resource-exhausted",
  9: "rpc.failed-precondition",
  10: "rpc.aborted",
  11: "rpc.out-of-range",
  12: "rpc.unimplemented",
  13: "rpc.internal",
  14: "rpc.unavailable",
  15: "rpc.data-loss",
  16: "rpc.unauthenticated",
};
