import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { AnaxError, errorOf, systemCodeOf } from "../base/errors.ts";
import type { Registry } from "../base/metrics.ts";
import type { Log } from "../base/log.ts";

export interface StatusPages {
  readonly registry: Registry;
  /** Undefined once everything serves; else what is still missing. */
  readonly notReady: () => string | undefined;
  /** Facts for a person or program that asks what this process is. */
  readonly status: () => unknown;
}

export interface StatusServer extends AsyncDisposable {
  readonly address: string;
}

const REQUEST_TIMEOUT_MS = 5000;

/** Serves /metrics, /healthz (the process lives), /readyz (it serves) and / (what it is). Throws `listen.address-in-use`, `listen.failed`. */
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
  switch ((request.url ?? "/").split("?")[0]!) {
    case "/healthz":
    case "/healthy": // Dragonfly's name for it
      return send(200, "text/plain", "ok\n");
    case "/readyz": {
      const missing = pages.notReady();
      return missing === undefined ? send(200, "text/plain", "ready\n") : send(503, "text/plain", `not ready: ${missing}\n`);
    }
    case "/metrics":
      return send(200, pages.registry.contentType, await pages.registry.metrics());
    case "/":
    case "/status":
      return send(200, "application/json", `${JSON.stringify(pages.status(), undefined, 2)}\n`);
    default:
      return send(404, "text/plain", "there are /, /metrics, /healthz and /readyz\n");
  }
}
