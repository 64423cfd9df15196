import type { Koffi } from "./koffi.ts";

/**
 * Says which of many sockets have something to read, by one system call for all of them. Calls back once for each turn of the event loop in which there are any,
 * until they are read or no longer watched.
 */
export interface SocketPoller extends Disposable {
  /** What the last `poll` has found. */
  readonly ready: Int32Array;
  /** False where the system has no room for it. */
  watch(socketFd: number): boolean;
  /** To be called before the socket is closed, as its number may be another one's then. */
  unwatch(socketFd: number): void;
  /** How many descriptors, in `ready`, have something to read, or an end or error to be read. What does not fit there comes with the next call. */
  poll(): number;
}

const READY_MAX = 512;

/** `epoll_ctl` operations, and the event: there is something to read. */
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
const EPOLL_CLOEXEC = 0o2_000_000;

/** `struct epoll_event` in words of 32 bits: packed on x86-64, so the data follows the events at once. */
const [EVENT_WORDS, DATA_WORD] = process.arch === "x64" ? [3, 1] : [4, 2];

/** `epoll(7)` within the event loop of Node. Undefined where the process may not have more descriptors. */
export function createSocketPoller(koffi: Koffi, onReady: () => void): SocketPoller | undefined {
  const libc = koffi.load("libc.so.6");
  const create = libc.func("int epoll_create1(int)") as (flags: number) => number;
  const control = libc.func("int epoll_ctl(int, int, int, const int *)") as (
    ...args: readonly [epollFd: number, operation: number, fd: number, event: Int32Array]
  ) => number;
  const wait = libc.func("int epoll_wait(int, uintptr_t, int, int)") as (
    ...args: readonly [epollFd: number, events: number, count: number, timeoutMs: number]
  ) => number;
  const close = libc.func("int close(int)") as (fd: number) => number;
  const epollFd = create(EPOLL_CLOEXEC);
  if (epollFd < 0) return undefined;
  const event = new Int32Array(EVENT_WORDS);
  const events = new Int32Array(EVENT_WORDS * READY_MAX);
  const eventsAt = Number(koffi.address(events));
  const ready = new Int32Array(READY_MAX);
  const handle = koffi.node.poll(epollFd, onReady);
  handle.unref(); // who listens keeps the process alive, not who is served
  return {
    ready,
    watch(socketFd) {
      event[0] = EPOLLIN;
      event[DATA_WORD] = socketFd;
      return control(epollFd, EPOLL_CTL_ADD, socketFd, event) === 0;
    },
    unwatch(socketFd) {
      control(epollFd, EPOLL_CTL_DEL, socketFd, event);
    },
    poll() {
      const count = wait(epollFd, eventsAt, READY_MAX, 0);
      for (let i = 0; i < count; i++) ready[i] = events[i * EVENT_WORDS + DATA_WORD]!;
      return Math.max(0, count);
    },
    [Symbol.dispose]() {
      handle.close();
      close(epollFd);
    },
  };
}
