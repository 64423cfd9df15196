import type { IncomingMessage, ServerResponse } from "node:http";
import { AnaxError, errorOf, specOf } from "../../base/errors.ts";
import { DRAGONFLY_RESPONSE_HEADERS, type DragonflyErrorType, type DragonflyRequest } from "../../wire/http/dragonfly-headers.ts";

/** One request of a client and the place for its answer. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Aborts when the client has left or the proxy stops. */
  readonly signal: AbortSignal;
  /** What `X-Dragonfly-*` fields asked for. */
  readonly asked: DragonflyRequest;
  /** The client waits for `100 Continue` before it sends its body. */
  readonly expectsContinue: boolean;
}

/** Codes of the OCI distribution specification where one fits. */
const OCI_CODES: Readonly<Record<number, string>> = {
  400: "UNSUPPORTED",
  401: "UNAUTHORIZED",
  403: "DENIED",
  404: "NAME_UNKNOWN",
  416: "BLOB_UPLOAD_INVALID",
  429: "TOOMANYREQUESTS",
};

/**
 * Answers with the error's status and `{errors:[{code,message}]}`, which registry clients show to a person. When the head of an answer has
 * left already, the connection is cut instead: the client must not take what it got for the whole.
 */
export function replyError(
  exchange: Pick<Exchange, "request" | "response">,
  thrown: unknown,
  extra: Readonly<Record<string, string>> = {},
): void {
  const { response } = exchange;
  if (response.headersSent) return void response.destroy();
  const error = errorOf(thrown);
  const status = specOf(error).http;
  const body = JSON.stringify({
    errors: [{ code: OCI_CODES[status] ?? "UNKNOWN", message: error.message, detail: { code: error.code } }],
  });
  response.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
    [DRAGONFLY_RESPONSE_HEADERS.errorType]: errorTypeOf(error),
    ...(status === 503 || status === 429 ? { "Retry-After": "1" } : {}),
    ...extra,
  });
  response.end(exchange.request.method === "HEAD" ? undefined : body);
}

/** Who is to blame, as Dragonfly's clients are told. */
export function errorTypeOf(error: AnaxError): DragonflyErrorType {
  if (error.code.startsWith("source.")) return "backend";
  return /^(input|proxy|limit|config|listen|output)\./.test(error.code) ? "proxy" : "dfdaemon";
}

/** Whether nobody is there to read an answer any more. */
export const hasLeft = (exchange: Exchange, thrown: unknown): boolean =>
  exchange.signal.aborted || (thrown instanceof AnaxError && (thrown.code === "socket.closed" || thrown.code === "download.cancelled"));
