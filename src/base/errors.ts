/** How a caller may react to an operational failure; read only by `base/retry`. */
export type RetryPolicy = "never" | "same" | "other-parent";

interface ErrorSpec {
  readonly http: number;
  /** gRPC status name in lower snake case. */
  readonly grpc: string;
  /** Process exit code of a command that ends with this error. */
  readonly exit: number;
  readonly retry: RetryPolicy;
  readonly text: string;
}

/**
 * Every operational failure Anax can report. `wire/` and `cli/` read the mappings, `base/retry` the policy.
 * Exit codes: 2 usage, 3 cannot reach something, 4 not found, 5 damaged data, 6 refused, 7 no room, 8 in use, 9 deadline.
 */
export const ERRORS = {
  "config.invalid": { http: 400, grpc: "invalid_argument", exit: 2, retry: "never", text: "the configuration is not valid" },
  "config.unreadable": { http: 400, grpc: "invalid_argument", exit: 2, retry: "never", text: "the configuration file cannot be read" },
  "daemon.already-running": {
    http: 409,
    grpc: "already_exists",
    exit: 8,
    retry: "never",
    text: "another daemon uses this data directory or socket",
  },
  "daemon.denied": { http: 403, grpc: "permission_denied", exit: 6, retry: "never", text: "this user may not talk to the daemon" },
  "daemon.stopping": { http: 503, grpc: "unavailable", exit: 3, retry: "same", text: "the daemon stops" },
  "daemon.unreachable": { http: 503, grpc: "unavailable", exit: 3, retry: "same", text: "no daemon answers on the socket" },
  "disk.corrupt": { http: 500, grpc: "data_loss", exit: 5, retry: "never", text: "data on disk is damaged" },
  "disk.full": { http: 507, grpc: "resource_exhausted", exit: 7, retry: "never", text: "no space left on the device" },
  "disk.io": { http: 500, grpc: "internal", exit: 5, retry: "never", text: "the disk reported an error" },
  "disk.newer-format": { http: 500, grpc: "failed_precondition", exit: 6, retry: "never", text: "the data was written by a newer version" },
  "download.deadline": { http: 504, grpc: "deadline_exceeded", exit: 9, retry: "same", text: "the download did not finish in time" },
  "download.forbidden": {
    http: 403,
    grpc: "failed_precondition",
    exit: 6,
    retry: "never",
    text: "downloads of this priority are forbidden",
  },
  "download.no-source": {
    http: 502,
    grpc: "failed_precondition",
    exit: 3,
    retry: "same",
    text: "no peer has the content and going back to the source is not allowed",
  },
  "download.cancelled": { http: 499, grpc: "cancelled", exit: 1, retry: "never", text: "the download was cancelled" },
  "host.unknown": { http: 404, grpc: "not_found", exit: 4, retry: "same", text: "the host has not announced itself here" },
  "input.invalid": { http: 400, grpc: "invalid_argument", exit: 2, retry: "never", text: "the request is not valid" },
  internal: { http: 500, grpc: "internal", exit: 1, retry: "never", text: "internal error" },
  "limit.exceeded": { http: 429, grpc: "resource_exhausted", exit: 7, retry: "same", text: "a configured limit is reached" },
  "listen.address-in-use": { http: 500, grpc: "unavailable", exit: 8, retry: "never", text: "the address is already in use" },
  "listen.failed": { http: 500, grpc: "unavailable", exit: 3, retry: "never", text: "cannot listen on the address" },
  "memory.exhausted": {
    http: 503,
    grpc: "resource_exhausted",
    exit: 7,
    retry: "same",
    text: "no memory was free in time (p2p.memory.maxBytes)",
  },
  "migration.failed": { http: 502, grpc: "aborted", exit: 1, retry: "same", text: "a move of slots has come to nothing" },
  "migration.malformed": {
    http: 502,
    grpc: "internal",
    exit: 5,
    retry: "same",
    text: "the other node sent, or a file has, bytes that are no slot migration",
  },
  "output.exists": { http: 409, grpc: "already_exists", exit: 6, retry: "never", text: "the output path exists already" },
  "output.unwritable": { http: 403, grpc: "permission_denied", exit: 6, retry: "never", text: "the output path cannot be written" },
  "peer.unknown": { http: 404, grpc: "not_found", exit: 4, retry: "never", text: "there is no such peer" },
  "piece.digest-mismatch": { http: 502, grpc: "data_loss", exit: 5, retry: "other-parent", text: "a piece does not match its checksum" },
  "piece.not-found": { http: 404, grpc: "not_found", exit: 4, retry: "other-parent", text: "the piece is not here" },
  "register.lossy": {
    http: 500,
    grpc: "failed_precondition",
    exit: 6,
    retry: "never",
    text: "the register may forget what it has confirmed; appendonly yes and appendfsync always mend that",
  },
  "register.invalid": { http: 500, grpc: "data_loss", exit: 5, retry: "never", text: "the register holds something that is not ours" },
  "register.refused": { http: 502, grpc: "failed_precondition", exit: 6, retry: "never", text: "the register refused the request" },
  "register.unknown": {
    http: 504,
    grpc: "unknown",
    exit: 9,
    retry: "same",
    text: "the register has not said whether it made the change",
  },
  "register.unreachable": { http: 503, grpc: "unavailable", exit: 3, retry: "same", text: "the register cannot be reached" },
  "rpc.aborted": { http: 409, grpc: "aborted", exit: 6, retry: "same", text: "the other side gave the call up" },
  "rpc.already-exists": { http: 409, grpc: "already_exists", exit: 6, retry: "never", text: "it exists already on the other side" },
  "proxy.loop": { http: 508, grpc: "failed_precondition", exit: 6, retry: "never", text: "the request comes back to this proxy" },
  "proxy.no-registry": {
    http: 404,
    grpc: "invalid_argument",
    exit: 2,
    retry: "never",
    text: "the request does not say which registry it means",
  },
  "proxy.unauthorized": { http: 407, grpc: "unauthenticated", exit: 6, retry: "never", text: "the proxy wants a user name and password" },
  "rpc.cancelled": { http: 499, grpc: "cancelled", exit: 1, retry: "never", text: "the call was cancelled" },
  "rpc.data-loss": { http: 502, grpc: "data_loss", exit: 5, retry: "other-parent", text: "the other side has lost data" },
  "rpc.deadline-exceeded": { http: 504, grpc: "deadline_exceeded", exit: 9, retry: "same", text: "the call did not finish in time" },
  "rpc.failed-precondition": {
    http: 412,
    grpc: "failed_precondition",
    exit: 6,
    retry: "never",
    text: "the call was refused in this state",
  },
  "rpc.internal": { http: 500, grpc: "internal", exit: 1, retry: "same", text: "the other side failed" },
  "rpc.invalid-argument": { http: 400, grpc: "invalid_argument", exit: 2, retry: "never", text: "the other side refused the request" },
  "rpc.not-found": { http: 404, grpc: "not_found", exit: 4, retry: "never", text: "not found on the other side" },
  "rpc.out-of-range": { http: 416, grpc: "out_of_range", exit: 2, retry: "never", text: "the other side has nothing in that range" },
  "rpc.permission-denied": { http: 403, grpc: "permission_denied", exit: 6, retry: "never", text: "the other side denied permission" },
  "rpc.resource-exhausted": { http: 429, grpc: "resource_exhausted", exit: 7, retry: "same", text: "the other side is at its limit" },
  "rpc.unauthenticated": { http: 401, grpc: "unauthenticated", exit: 6, retry: "never", text: "the other side wants credentials" },
  "rpc.unavailable": { http: 503, grpc: "unavailable", exit: 3, retry: "same", text: "the other side cannot be reached" },
  "rpc.unimplemented": { http: 501, grpc: "unimplemented", exit: 6, retry: "never", text: "the other side does not offer this call" },
  "rpc.unknown": { http: 502, grpc: "unknown", exit: 1, retry: "same", text: "the other side failed without saying why" },
  "runtime.unsupported": { http: 500, grpc: "unimplemented", exit: 2, retry: "never", text: "this Node is too old" },
  "socket.closed": { http: 499, grpc: "unavailable", exit: 3, retry: "same", text: "the other side closed the connection" },
  "source.bad-status": { http: 502, grpc: "unavailable", exit: 3, retry: "same", text: "the source answered with an error" },
  "source.changed": { http: 502, grpc: "data_loss", exit: 5, retry: "never", text: "the source has other content than before" },
  "source.denied": { http: 403, grpc: "permission_denied", exit: 6, retry: "never", text: "the source address is not allowed" },
  "source.forbidden": { http: 403, grpc: "permission_denied", exit: 6, retry: "never", text: "the source refused these credentials" },
  "source.not-found": { http: 404, grpc: "not_found", exit: 4, retry: "never", text: "the source does not have this content" },
  "source.not-listable": { http: 400, grpc: "invalid_argument", exit: 2, retry: "never", text: "this source cannot list directories" },
  "source.range-ignored": { http: 502, grpc: "unavailable", exit: 3, retry: "never", text: "the source ignores byte ranges" },
  "source.refused": { http: 502, grpc: "failed_precondition", exit: 6, retry: "never", text: "the source refused the request" },
  "source.truncated": { http: 502, grpc: "data_loss", exit: 5, retry: "same", text: "the source closed before the whole body arrived" },
  "source.unauthorized": { http: 401, grpc: "unauthenticated", exit: 6, retry: "never", text: "the source wants credentials" },
  "source.unreachable": { http: 502, grpc: "unavailable", exit: 3, retry: "same", text: "the source cannot be reached" },
  "source.unsupported": { http: 400, grpc: "invalid_argument", exit: 2, retry: "never", text: "no source speaks this URL scheme" },
  "task.digest-mismatch": { http: 502, grpc: "data_loss", exit: 5, retry: "never", text: "the content does not match the expected digest" },
  "task.in-use": { http: 409, grpc: "failed_precondition", exit: 8, retry: "same", text: "the task is in use" },
  "task.not-found": { http: 404, grpc: "not_found", exit: 4, retry: "never", text: "there is no such task" },
  "task.range-unsatisfiable": { http: 416, grpc: "out_of_range", exit: 2, retry: "never", text: "the range lies outside of the content" },
  "volume.changed": { http: 409, grpc: "aborted", exit: 6, retry: "same", text: "somebody else changed the volume meanwhile" },
  "volume.exists": { http: 409, grpc: "already_exists", exit: 6, retry: "never", text: "a volume of this name exists" },
  "volume.leased": {
    http: 503,
    grpc: "unavailable",
    exit: 8,
    retry: "same",
    text: "another client has written to the file and not handed it over yet",
  },
  "volume.mount-busy": { http: 409, grpc: "failed_precondition", exit: 8, retry: "same", text: "programs use the mount" },
  "volume.mount-failed": { http: 500, grpc: "failed_precondition", exit: 3, retry: "never", text: "the volume cannot be mounted there" },
  "volume.not-exist": { http: 404, grpc: "not_found", exit: 4, retry: "never", text: "the volume is deleted" },
  "volume.not-found": { http: 404, grpc: "not_found", exit: 4, retry: "never", text: "there is no volume of this name" },
  "volume.path-taken": { http: 409, grpc: "already_exists", exit: 6, retry: "never", text: "something else is there now" },
  "volume.service-denied": {
    http: 401,
    grpc: "unauthenticated",
    exit: 6,
    retry: "never",
    text: "the service for volumes wants its token (--token-file, or ANAX_VOLUME_TOKEN)",
  },
  "volume.service-unreachable": {
    http: 503,
    grpc: "unavailable",
    exit: 3,
    retry: "never",
    text: "the service for volumes has not answered; what was asked may have been done",
  },
  "volume.too-many-strangers": {
    http: 409,
    grpc: "failed_precondition",
    exit: 6,
    retry: "never",
    text: "so many objects are unknown to the ledger that it may be the wrong one",
  },
  "volume.unreachable": {
    http: 503,
    grpc: "unavailable",
    exit: 3,
    retry: "same",
    text: "the metadata or the content of the volume do not answer",
  },
  "volume.wrong-state": { http: 409, grpc: "failed_precondition", exit: 6, retry: "never", text: "the volume is in no state for this" },
  "vortex.malformed": { http: 502, grpc: "internal", exit: 5, retry: "other-parent", text: "the peer sent bytes that are not Vortex" },
  "vortex.remote": { http: 502, grpc: "internal", exit: 5, retry: "other-parent", text: "the peer answered with an error" },
} as const satisfies Readonly<Record<string, ErrorSpec>>;

export type ErrorCode = keyof typeof ERRORS;
export type ErrorDetails = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** An operational failure: a stable code, plain details for a person or a program, and the cause below it. */
export class AnaxError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, details: ErrorDetails = {}, options: { readonly cause?: unknown } = {}) {
    super(sentenceOf(code, details), options);
    this.name = "AnaxError";
    this.code = code;
    this.details = details;
  }
}

export const isErrorCode = (text: string): text is ErrorCode => Object.hasOwn(ERRORS, text);

export const specOf = (error: unknown): ErrorSpec => ERRORS[error instanceof AnaxError ? error.code : "internal"];

/** What was thrown, as an AnaxError: system errors of Node get the code that a person can act on. */
export function errorOf(thrown: unknown): AnaxError {
  if (thrown instanceof AnaxError) return thrown;
  const system = systemCodeOf(thrown);
  const code = system === undefined ? "internal" : (SYSTEM_CODES[system] ?? "internal");
  return new AnaxError(code, { reason: thrown instanceof Error ? thrown.message : String(thrown) }, { cause: thrown });
}

/** The `code` of a Node system error (`ENOSPC`), or undefined. */
export function systemCodeOf(thrown: unknown): string | undefined {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : undefined;
}

/** Stops the process on a bug: a broken invariant must never be handled as if it were the outside world's doing. */
export function invariant(condition: unknown, text: string): asserts condition {
  if (!condition) throw new InvariantError(text);
}

export class InvariantError extends Error {
  override name = "InvariantError";
}

const SYSTEM_CODES: Readonly<Record<string, ErrorCode>> = {
  EACCES: "output.unwritable",
  EADDRINUSE: "listen.address-in-use",
  EDQUOT: "disk.full",
  EIO: "disk.io",
  ENOSPC: "disk.full",
  EPERM: "output.unwritable",
  EROFS: "output.unwritable",
};

function sentenceOf(code: ErrorCode, details: ErrorDetails): string {
  const facts = Object.entries(details)
    .filter(([, value]) => value !== undefined && value !== "")
    .map(([key, value]) => `${key}=${Array.isArray(value) ? value.join(",") : String(value)}`);
  return facts.length === 0 ? ERRORS[code].text : `${ERRORS[code].text} (${facts.join(", ")})`;
}
