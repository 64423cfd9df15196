import { Metadata, status } from "@grpc/grpc-js";
import { AnaxError, ERRORS, isErrorCode, type ErrorCode, type ErrorDetails } from "../../base/errors.ts";

/** What grpc-js takes to end a call with an error, and what it gives when one ended so. */
export interface GrpcStatus {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
}

const CODE_KEY = "anax-error-code";
const DETAILS_KEY = "anax-error-details-bin";

/** Trailers travel in one header block, which the other side bounds; the code matters more than a long explanation. */
const MESSAGE_CHARS_MAX = 1024;
const DETAILS_BYTES_MAX = 4096;

/** The status of an error: gRPC's own code for foreigners, ours with its details in the trailers. */
export function statusOf(error: AnaxError): GrpcStatus {
  const metadata = new Metadata();
  metadata.set(CODE_KEY, error.code);
  const details = Buffer.from(JSON.stringify(error.details));
  if (details.length <= DETAILS_BYTES_MAX) metadata.set(DETAILS_KEY, details);
  // grpc-js percent-encodes the text, which throws on half a surrogate pair.
  return { code: grpcCodeOf(error.code), details: error.message.slice(0, MESSAGE_CHARS_MAX).toWellFormed(), metadata };
}

/** The error of a status that is not OK: ours where the trailers name it, `rpc.*` for a foreign peer. */
export function errorOfStatus(failed: GrpcStatus, method: string): AnaxError {
  const named = failed.metadata.get(CODE_KEY)[0];
  if (typeof named === "string" && isErrorCode(named)) return new AnaxError(named, detailsOf(failed.metadata), { cause: failed });
  return new AnaxError(FOREIGN[failed.code] ?? "rpc.unknown", { method, reason: failed.details }, { cause: failed });
}

/** True for what grpc-js rejects a call with. */
export function isGrpcStatus(thrown: unknown): thrown is GrpcStatus {
  if (typeof thrown !== "object" || thrown === null) return false;
  return "code" in thrown && typeof thrown.code === "number" && "metadata" in thrown && thrown.metadata instanceof Metadata;
}

function grpcCodeOf(code: ErrorCode): status {
  const name = ERRORS[code].grpc.toUpperCase();
  return name in status ? status[name as keyof typeof status] : status.UNKNOWN;
}

/** Details come from the other side: only plain values of the expected kinds are kept. */
function detailsOf(metadata: Metadata): ErrorDetails {
  const bytes = metadata.get(DETAILS_KEY)[0];
  if (!Buffer.isBuffer(bytes) || bytes.length > DETAILS_BYTES_MAX) return {};
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

const FOREIGN: Readonly<Partial<Record<status, ErrorCode>>> = {
  [status.CANCELLED]: "rpc.cancelled",
  [status.INVALID_ARGUMENT]: "rpc.invalid-argument",
  [status.DEADLINE_EXCEEDED]: "rpc.deadline-exceeded",
  [status.NOT_FOUND]: "rpc.not-found",
  [status.ALREADY_EXISTS]: "rpc.already-exists",
  [status.PERMISSION_DENIED]: "rpc.permission-denied",
  [status.RESOURCE_EXHAUSTED]: "rpc.resource-exhausted",
  [status.FAILED_PRECONDITION]: "rpc.failed-precondition",
  [status.ABORTED]: "rpc.aborted",
  [status.OUT_OF_RANGE]: "rpc.out-of-range",
  [status.UNIMPLEMENTED]: "rpc.unimplemented",
  [status.INTERNAL]: "rpc.internal",
  [status.UNAVAILABLE]: "rpc.unavailable",
  [status.DATA_LOSS]: "rpc.data-loss",
  [status.UNAUTHENTICATED]: "rpc.unauthenticated",
};
