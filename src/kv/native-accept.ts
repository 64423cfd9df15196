import { createRequire } from "node:module";
import { Socket, type Server } from "node:net";
import type koffiModule from "koffi";

const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2_000_000;
/** Connections taken at once. */
const ACCEPTED_MAX = 100;

/**
 * Accepts what waits at a server whose event loop cannot run. Without koffi, which is optional, or without Linux nothing is accepted: connections wait until
 * the loop runs again.
 */
export function waitingAccepter(server: Server, accept: (socket: Socket) => void): () => void {
  let next: Accept | undefined | "unknown" = "unknown";
  return () => {
    if (next === "unknown") next = loadAccept();
    const listening = descriptorOf(server);
    if (next === undefined || listening === undefined) return;
    for (let count = 0; count < ACCEPTED_MAX; count++) {
      const fd = next(listening);
      if (fd < 0) return;
      accept(new Socket({ fd, readable: true, writable: true }));
    }
  };
}

/** The descriptor of a connection that waits at a listening socket, below 0 where none does. */
type Accept = (listeningFd: number) => number;

/** `accept4(2)`, for when the event loop cannot run; undefined where koffi, which is optional, or Linux is missing: connections wait then. */
function loadAccept(): Accept | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    // At once, as whoever needs it cannot wait.
    const koffi = createRequire(import.meta.url)("koffi") as typeof koffiModule;
    const accept4 = koffi.load("libc.so.6").func("int accept4(int, void *, void *, int)") as (
      ...args: readonly [fd: number, address: null, length: null, flags: number]
    ) => number;
    return (listeningFd) => accept4(listeningFd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
  } catch {
    return undefined;
  }
}

/** The descriptor of a server that listens, undefined where Node has none. */
function descriptorOf(server: Server): number | undefined {
  const { fd = -1 } = (server as unknown as { _handle?: { readonly fd?: number } | null })._handle ?? {};
  return fd < 0 ? undefined : fd;
}
