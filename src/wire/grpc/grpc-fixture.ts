import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realClock, type Clock } from "../../base/clock.ts";
import type { AnaxError } from "../../base/errors.ts";
import type { GrpcAddress } from "./address.ts";
import type { GrpcCaller } from "./caller.ts";
import { GrpcChannel } from "./client.ts";
import { GrpcServer } from "./server.ts";
import type { GrpcService } from "./service.ts";

export const LOOPBACK = { host: "127.0.0.1", port: 0 } as const;

/** A server on a free port with a channel to it; `reported` collects what its `onError` was told. */
export interface Served extends AsyncDisposable {
  readonly address: { readonly host: string; readonly port: number };
  readonly channel: GrpcChannel;
  readonly server: GrpcServer;
  readonly reported: AnaxError[];
}

export async function serve(
  services: readonly GrpcService[],
  options: { readonly clock?: Clock; readonly drainTimeoutMs?: number } = {},
): Promise<Served> {
  const reported: AnaxError[] = [];
  const onError = (error: AnaxError): void => void reported.push(error);
  const clock = options.clock ?? realClock;
  const server = await GrpcServer.start({ ...options, listen: [LOOPBACK], services, clock, onError });
  const address = server.addresses[0] as Served["address"]; // it was asked for as host and port
  const channel = new GrpcChannel(address, { clock: realClock });
  const close = async (): Promise<void> => {
    channel[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  };
  return { address, channel, server, reported, [Symbol.asyncDispose]: close };
}

/** The same over a Unix socket, which `open` makes the calls over; at a path of its own unless one is given. */
export async function serveLocally(
  services: readonly GrpcService[],
  open: (path: string, options: { readonly clock: Clock }) => GrpcCaller,
  at?: string,
): Promise<
  AsyncDisposable & { readonly channel: GrpcCaller; readonly server: GrpcServer; readonly path: string; readonly reported: AnaxError[] }
> {
  await using scope = new AsyncDisposableStack();
  const path = at ?? scope.use(await socketDirectory()).at("s").path;
  const reported: AnaxError[] = [];
  const onError = (error: AnaxError): void => void reported.push(error);
  const server = scope.use(await GrpcServer.start({ listen: [{ path }], services, clock: realClock, onError, drainTimeoutMs: 200 }));
  const channel = scope.use(open(path, { clock: realClock }));
  const owned = scope.move();
  return { channel, server, path, reported, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A short path for sockets, gone afterwards. */
export async function socketDirectory(): Promise<
  AsyncDisposable & { readonly path: string; at(name: string): GrpcAddress & { path: string } }
> {
  const path = await mkdtemp(join(tmpdir(), "anax-grpc-"));
  return {
    path,
    at: (name) => ({ path: join(path, name) }),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

/** A signal that never aborts, for streams that a test ends otherwise. */
export const unbounded = (): AbortSignal => new AbortController().signal;

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
