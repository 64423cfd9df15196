import { isMainThread } from "node:worker_threads";
import { createSocketPoller, type SocketPoller } from "./native-poller.ts";
import { loadKoffi, type Koffi } from "./koffi.ts";

/** A buffer that stays where it is, for calls that need not ask each time where that is. */
export interface PinnedBuffer {
  readonly bytes: Buffer;
  readonly address: number;
}

/** What a server of many short requests asks of the system, past Node's streams, whose way is as long as that of a request. All calls return at once. */
export interface NativeConnections {
  pinned(bytes: number): PinnedBuffer;
  /** `recv(2)` from a non-blocking socket into the start of a buffer: the number of bytes that came, 0 at the end, or a negative errno. */
  receive(socketFd: number, into: PinnedBuffer): number;
  /** `send(2)` of the first bytes to a non-blocking socket: the number of bytes that the kernel took, or a negative errno. */
  send(socketFd: number, bytes: Uint8Array, count: number): number;
  /** `accept4(2)` of a connection that waits at a listening non-blocking socket: its descriptor, non-blocking too, or a negative errno. */
  accept(listeningFd: number): number;
  /** Undefined where the process may not have more descriptors. */
  poller(onReady: () => void): SocketPoller | undefined;
}

/** `send` and `recv` flags: do not wait, raise no signal. */
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2_000_000;

/**
 * Undefined where the library for them, Linux or glibc is missing, and in other threads than the main one: one that is terminated while the poller calls back takes the process
 * with it.
 */
export async function loadNativeConnections(): Promise<NativeConnections | undefined> {
  if (!isMainThread) return undefined;
  const koffi = await loadKoffi();
  return koffi && bind(koffi);
}

function bind(koffi: Koffi): NativeConnections {
  const libc = koffi.load("libc.so.6");
  const recv = libc.func("int recv(int, uintptr_t, int, int)") as (fd: number, address: number, n: number, flags: number) => number;
  const send = libc.func("int64_t send(int, const void *, size_t, int)") as (
    ...args: readonly [fd: number, bytes: Uint8Array, n: number, flags: number]
  ) => number;
  const accept4 = libc.func("int accept4(int, void *, void *, int)") as (
    ...args: readonly [fd: number, address: null, length: null, flags: number]
  ) => number;
  const orErrno = (result: number): number => (result < 0 ? -koffi.errno() : result);
  return {
    pinned(bytes) {
      const pinned = Buffer.allocUnsafeSlow(bytes);
      return { bytes: pinned, address: Number(koffi.address(pinned)) };
    },
    receive: (socketFd, into) => orErrno(recv(socketFd, into.address, into.bytes.length, MSG_DONTWAIT)),
    send: (socketFd, bytes, count) => orErrno(send(socketFd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL)),
    accept: (listeningFd) => orErrno(accept4(listeningFd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC)),
    poller: (onReady) => createSocketPoller(koffi, onReady),
  };
}
