import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { AnaxError, errorOf, systemCodeOf } from "../base/errors.ts";
import type { Registry } from "../base/metrics.ts";
import type { Log } from "../base/log.ts";
import type { ProbeAnswer, ProbePart } from "./probes.ts";

export interface StatusPages {
  readonly registry: Registry;
  readonly live: () => ProbeAnswer;
  readonly ready: () => ProbeAnswer;
  /** Facts for a person or program that asks what this process is. */
  readonly status: () => unknown;
}

export interface StatusServer extends AsyncDisposable {
  readonly address: string;
}

const REQUEST_TIMEOUT_MS = 5000;

/**
 * Serves /metrics, /healthz (no restart would help), /readyz (it serves) and / (what it is). The probes answer 200 or 503, in a line, or as JSON
 * with their parts to those who accept it or ask with `?verbose`. Throws `listen.address-in-use`, `listen.failed`.
 */
export async function startStatusServer(
  listen: { readonly host: string; readonly port: number },
  pages: StatusPages,
  log: Log,
): Promise<StatusServer> {
  const server = createServer(
    { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS, maxHeaderSize: 16_384 },
    (request, response) => {
      answer(pages, request, response).catch((thrown: unknown) => {
        log.warn("status.failed", { path: request.url, reason: errorOf(thrown).message });
        response.destroy();
      });
    },
  );
  server.maxConnections = 256;
  server.listen(listen.port, listen.host);
  await once(server, "listening").catch((cause: unknown) => {
    const code = systemCodeOf(cause) === "EADDRINUSE" ? "listen.address-in-use" : "listen.failed";
    throw new AnaxError(code, { address: `${listen.host}:${listen.port}` }, { cause });
  });
  const { address, family, port } = server.address() as AddressInfo; // a listening TCP server has one
  return {
    address: `http://${family === "IPv6" ? `[${address}]` : address}:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await server[Symbol.asyncDispose]();
    },
  };
}

async function answer(pages: StatusPages, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const send = (status: number, type: string, body: string): void => {
    response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body), "cache-control": "no-store" });
    response.end(request.method === "HEAD" ? undefined : body);
  };
  if (request.method !== "GET" && request.method !== "HEAD") return send(405, "text/plain", "only GET\n");
  const [path = "/", query = ""] = (request.url ?? "/").split("?");
  const probe = (answered: ProbeAnswer, yes: string, no: string): void => {
    const { holds, parts } = answered;
    const status = holds ? 200 : 503;
    const wantsJson = new URLSearchParams(query).has("verbose") || request.headers.accept?.includes("application/json") === true;
    if (wantsJson) return send(status, "application/json", `${JSON.stringify({ status: holds ? yes : no, parts })}\n`);
    return send(status, "text/plain", holds ? `${yes}\n` : `${no}: ${parts.filter(isWanting).map(wordsOf).join("; ")}\n`);
  };
  switch (path) {
    case "/healthz":
    case "/healthy": // Dragonfly's name for it
      return probe(pages.live(), "ok", "dead");
    case "/readyz":
      return probe(pages.ready(), "ready", "not ready");
    case "/metrics":
      return send(200, pages.registry.contentType, await pages.registry.metrics());
    case "/":
    case "/status":
      return send(200, "application/json", `${JSON.stringify(pages.status(), undefined, 2)}\n`);
    default:
      return send(404, "text/plain", "there are /, /metrics, /healthz and /readyz\n");
  }
}

const isWanting = ({ state }: ProbePart): boolean => state === "waiting" || state === "failed";
const wordsOf = ({ name, detail }: ProbePart): string => `${name}: ${detail}`;
