import { AnaxError } from "../../base/errors.ts";

/** Where a gRPC server listens or is reached: a TCP host and port, or the path of a Unix socket. */
export type GrpcAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** The longest path that fits Linux's sockaddr_un (108 bytes with the closing zero); a longer one would be cut silently. */
const SOCKET_PATH_BYTES_MAX = 107;

/** "10.0.0.7:65000", "[::1]:65000" or "unix:/run/anax.sock": the form that grpc-js takes and people read. */
export function addressText(address: GrpcAddress): string {
  if ("path" in address) return `unix:${address.path}`;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}

/** The reverse of `addressText`; also takes "unix:///run/anax.sock". Throws `input.invalid`. */
export function parseGrpcAddress(text: string): GrpcAddress {
  const path = /^unix:(?:\/\/(?=\/))?(?<path>.+)$/.exec(text)?.groups?.["path"];
  if (path !== undefined) return checkedSocket(path);
  const match = /^(?:\[(?<six>[0-9a-fA-F:.]+)\]|(?<host>[^:[\]/\s]+)):(?<port>\d{1,5})$/.exec(text)?.groups;
  const host = match?.["six"] ?? match?.["host"];
  const port = Number(match?.["port"]);
  if (host === undefined || port > 65_535) throw new AnaxError("input.invalid", { address: text, expected: "host:port or unix:/path" });
  return { host, port };
}

/** Throws `input.invalid` for a path that the operating system would cut. */
export function checkedSocket(path: string): { readonly path: string } {
  const bytes = Buffer.byteLength(path);
  if (bytes > SOCKET_PATH_BYTES_MAX) throw new AnaxError("input.invalid", { socket: path, bytes, bytesMax: SOCKET_PATH_BYTES_MAX });
  return { path };
}
