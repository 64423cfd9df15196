import { once } from "node:events";
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";

export interface ForwardProxy extends AsyncDisposable {
  readonly url: string;
  /** `GET http://host/path` or `CONNECT host:port`, in order. */
  readonly seen: readonly string[];
}

/** An HTTP proxy (absolute form and CONNECT) for which every host name is 127.0.0.1. With `credentials` (`user:password`) it wants them. */
export async function startForwardProxy(options: { readonly credentials?: string } = {}): Promise<ForwardProxy> {
  const seen: string[] = [];
  const sockets = new Set<Socket>();
  const wanted = options.credentials === undefined ? undefined : `Basic ${Buffer.from(options.credentials).toString("base64")}`;
  const admits = (request: IncomingMessage): boolean => wanted === undefined || request.headers["proxy-authorization"] === wanted;

  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    seen.push(`${request.method} ${request.url}`);
    if (!admits(request)) return void response.writeHead(407, { "content-length": 0 }).end();
    const target = new URL(request.url ?? "");
    const { "proxy-authorization": _, ...headers } = request.headers;
    const forward = {
      host: "127.0.0.1",
      port: target.port,
      path: target.pathname + target.search,
      method: request.method ?? "GET",
      headers,
    };
    const forwarded = httpRequest(forward, (reply) => {
      response.writeHead(reply.statusCode ?? 502, reply.headers);
      reply.pipe(response);
    });
    forwarded.on("error", () => response.destroy());
    forwarded.end();
  });
  server.on("connect", (request: IncomingMessage, client: Socket) => {
    seen.push(`CONNECT ${request.url}`);
    client.on("error", () => client.destroy());
    if (!admits(request)) return void client.end("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n");
    const upstream = connect(Number(request.url?.split(":").at(-1)), "127.0.0.1", () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      upstream.pipe(client).pipe(upstream);
    });
    for (const socket of [client, upstream]) sockets.add(socket.on("close", () => sockets.delete(socket)));
    upstream.on("error", () => client.destroy());
    client.on("close", () => upstream.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const auth = options.credentials === undefined ? "" : `${options.credentials}@`;
  return {
    url: `http://${auth}127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
