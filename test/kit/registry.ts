import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import http, { type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { formatContentRange, rangeOf } from "../../src/wire/http/range.ts";

export interface RegistryLogin {
  readonly kind: "basic" | "token";
  readonly username: string;
  readonly password: string;
}

export interface RegistryRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
  readonly trailers: IncomingMessage["trailers"];
}

/** A small registry (OCI distribution) on a real socket that tells what it was asked. Repositories below `private/` need its login. */
export interface TestRegistry extends AsyncDisposable {
  readonly port: number;
  /** `127.0.0.1:port` */
  readonly host: string;
  readonly requests: readonly RegistryRequest[];
  /** Requests of this method whose path contains the text. */
  count(method: string, text: string): number;
  putBlob(bytes: Buffer): string;
  /** Answers for `digest` with other bytes. */
  corruptBlob(digest: string, bytes: Buffer): void;
  putManifest(repository: string, tag: string, body: unknown, contentType?: string): string;
  /** Answers everything below `path` by this instead, without `100 Continue`. */
  answer(path: string, respond: RequestListener): void;
  /** Refuses connections from now on. */
  stop(): Promise<void>;
}

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";

const sha256 = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

export async function startTestRegistry(
  options: { readonly login?: RegistryLogin; readonly tls?: { readonly key: string; readonly cert: string }; readonly port?: number } = {},
): Promise<TestRegistry> {
  const site = new Site(options.login);
  const listener: RequestListener = (request, response) => void site.serve(request, response);
  const server = options.tls === undefined ? http.createServer(listener) : https.createServer(options.tls, listener);
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    if (!site.answers.has(request.url ?? "")) response.writeContinue();
    listener(request, response);
  });
  server.listen(options.port ?? 0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // listening on TCP
  site.origin = `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${port}`;
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  };
  return {
    port,
    host: `127.0.0.1:${port}`,
    requests: site.requests,
    count: (method, text) => site.requests.filter((request) => request.method === method && request.path.includes(text)).length,
    putBlob: (bytes) => site.putBlob(sha256(bytes), bytes),
    corruptBlob: (digest, bytes) => void site.putBlob(digest, bytes),
    putManifest: (repository, tag, body, contentType) =>
      site.putManifest(repository, tag, { body, contentType: contentType ?? OCI_MANIFEST }),
    answer: (path, respond) => void site.answers.set(path, respond),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

class Site {
  readonly requests: RegistryRequest[] = [];
  readonly answers = new Map<string, RequestListener>();
  origin = "";
  readonly #login: RegistryLogin | undefined;
  readonly #blobs = new Map<string, Buffer>();
  readonly #manifests = new Map<string, { readonly body: Buffer; readonly contentType: string }>();
  readonly #tags = new Map<string, string>();
  /** Token to the scope it was given for. */
  readonly #tokens = new Map<string, string>();

  constructor(login: RegistryLogin | undefined) {
    this.#login = login;
  }

  putBlob(digest: string, bytes: Buffer): string {
    this.#blobs.set(digest, bytes);
    return digest;
  }

  putManifest(repository: string, tag: string, manifest: { readonly body: unknown; readonly contentType: string }): string {
    const body = Buffer.from(JSON.stringify(manifest.body));
    const digest = sha256(body);
    this.#manifests.set(digest, { body, contentType: manifest.contentType });
    this.#tags.set(`${repository}:${tag}`, digest);
    return digest;
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? "/";
    const custom = [...this.answers].find(([start]) => path.startsWith(start));
    if (custom !== undefined) {
      this.requests.push({ method: request.method ?? "", path, headers: request.headers, body: Buffer.alloc(0), trailers: {} });
      return custom[1](request, response);
    }
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return; // the client left in the middle of its body
    }
    const body = Buffer.concat(chunks);
    this.requests.push({ method: request.method ?? "", path, headers: request.headers, body, trailers: request.trailers });
    this.#route(request, response, body);
  }

  #route(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://registry");
    if (pathname === "/token") return this.#token(request, response, searchParams);
    const repository = /^\/v2\/(.+)\/(?:blobs|manifests|tags)\//.exec(pathname)?.[1];
    if (!this.#admits(request, repository)) return this.#challenge(response, repository);
    if (pathname === "/v2/") return json(response, 200, {});
    const blob = /\/blobs\/(sha256:[0-9a-f]{64})$/.exec(pathname)?.[1];
    if (blob !== undefined) return this.#sendBlob(request, response, blob);
    const reference = /\/manifests\/(.+)$/.exec(pathname)?.[1];
    if (reference !== undefined) return this.#sendManifest(request, response, `${repository}:${reference}`);
    if (pathname.endsWith("/tags/list")) return json(response, 200, { name: repository, tags: this.#tagsOf(repository ?? "") });
    if (request.method === "POST" && pathname.endsWith("/blobs/uploads/")) {
      return void response.writeHead(202, { Location: `${pathname}${randomUUID()}`, "Content-Length": 0 }).end();
    }
    const digest = searchParams.get("digest");
    if (request.method === "PUT" && digest !== null && sha256(body) === digest) {
      this.putBlob(digest, body);
      return void response.writeHead(201, { "Docker-Content-Digest": digest, "Content-Length": 0 }).end();
    }
    return json(response, 404, { errors: [{ code: "NAME_UNKNOWN", message: "nothing here" }] });
  }

  #admits(request: IncomingMessage, repository: string | undefined): boolean {
    if (this.#login === undefined || (repository !== undefined && !repository.startsWith("private/"))) return true;
    const { authorization } = request.headers;
    if (this.#login.kind === "basic") return authorization === basicOf(this.#login);
    const scope = this.#tokens.get(authorization?.replace(/^Bearer /, "") ?? "");
    return scope !== undefined && (repository === undefined || scope === `repository:${repository}:pull`);
  }

  #challenge(response: ServerResponse, repository: string | undefined): void {
    const scope = repository === undefined ? "" : `,scope="repository:${repository}:pull"`;
    const bearer = `Bearer realm="${this.origin}/token",service="test"${scope}`;
    response.setHeader("WWW-Authenticate", this.#login?.kind === "token" ? bearer : 'Basic realm="test"');
    json(response, 401, { errors: [{ code: "UNAUTHORIZED", message: "log in" }] });
  }

  #token(request: IncomingMessage, response: ServerResponse, query: URLSearchParams): void {
    if (this.#login !== undefined && request.headers.authorization !== basicOf(this.#login)) return json(response, 401, {});
    const token = randomUUID();
    this.#tokens.set(token, query.get("scope") ?? "");
    json(response, 200, { token, expires_in: 300 });
  }

  #sendBlob(request: IncomingMessage, response: ServerResponse, digest: string): void {
    const bytes = this.#blobs.get(digest);
    if (bytes === undefined) return json(response, 404, { errors: [{ code: "BLOB_UNKNOWN", message: "no such blob" }] });
    const range = rangeOf(request.headers.range, bytes.length);
    response
      .setHeader("Docker-Content-Digest", digest)
      .setHeader("Content-Type", "application/octet-stream")
      .setHeader("Accept-Ranges", "bytes");
    if (range === "unsatisfiable") return void response.writeHead(416, { "Content-Length": 0 }).end();
    const { start, length } = range ?? { start: 0, length: bytes.length };
    if (range !== null) response.setHeader("Content-Range", formatContentRange(range, bytes.length));
    response.writeHead(range === null ? 200 : 206, { "Content-Length": length });
    response.end(request.method === "HEAD" ? undefined : bytes.subarray(start, start + length));
  }

  #sendManifest(request: IncomingMessage, response: ServerResponse, name: string): void {
    const digest = this.#tags.get(name) ?? name.slice(name.indexOf(":") + 1);
    const manifest = this.#manifests.get(digest);
    if (manifest === undefined) return json(response, 404, { errors: [{ code: "MANIFEST_UNKNOWN", message: "no such manifest" }] });
    const fields = { "Content-Type": manifest.contentType, "Docker-Content-Digest": digest, ETag: `"${digest}"` };
    if (request.headers["if-none-match"] === `"${digest}"`) return void response.writeHead(304, fields).end();
    response.writeHead(200, { ...fields, "Content-Length": manifest.body.length });
    response.end(request.method === "HEAD" ? undefined : manifest.body);
  }

  #tagsOf(repository: string): readonly string[] {
    return [...this.#tags.keys()].filter((name) => name.startsWith(`${repository}:`)).map((name) => name.slice(repository.length + 1));
  }
}

const basicOf = (login: RegistryLogin): string => `Basic ${Buffer.from(`${login.username}:${login.password}`).toString("base64")}`;

function json(response: ServerResponse, status: number, value: unknown): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": body.length });
  response.end(response.req.method === "HEAD" ? undefined : body);
}
