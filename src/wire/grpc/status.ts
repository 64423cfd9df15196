import { Metadata, status } from "@grpc/grpc-js";
import { ERRORS, type AnaxError, type ErrorCode } from "../../base/errors.ts";
import { CODE_TRAILER, DETAILS_BYTES_MAX, DETAILS_TRAILER, errorOfCall } from "./status-error.ts";

/** What grpc-js takes to end a call with an error, and what it gives when one ended so. */
export interface GrpcStatus {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
}

/** As for the details. */
const MESSAGE_CHARS_MAX = 1024;

/** The status of an error: gRPC's own code for foreigners, ours with its details in the trailers. */
export function statusOf(error: AnaxError): GrpcStatus {
  const metadata = new Metadata();
  metadata.set(CODE_TRAILER, error.code);
  const details = Buffer.from(JSON.stringify(error.details));
  if (details.length <= DETAILS_BYTES_MAX) metadata.set(DETAILS_TRAILER, details);
  // grpc-js percent-encodes the text, which throws on half a surrogate pair.
  return { code: grpcCodeOf(error.code), details: error.message.slice(0, MESSAGE_CHARS_MAX).toWellFormed(), metadata };
}

/** The error of a status that is not OK. */
export function errorOfStatus(failed: GrpcStatus, method: string): AnaxError {
  const [named] = failed.metadata.get(CODE_TRAILER);
  const [details] = failed.metadata.get(DETAILS_TRAILER);
  const own = {
    ownCode: typeof named === "string" ? named : undefined,
    ownDetails: Buffer.isBuffer(details) ? details : undefined,
  };
  return errorOfCall({ code: failed.code, message: failed.details, ...own }, method, failed);
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
