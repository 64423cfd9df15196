import type { Koffi } from "./koffi.ts";

/**
 * Says which of many sockets have got something to read, by one system call for all of them. Calls back once for each turn of the event loop in which there are any.
 * A socket is named once for what has come: who leaves some of it unread says so, as the kernel would look again at each of them otherwise.
 */
export interface SocketPoller extends Disposable {
  /** What the last `poll` has found. */
  readonly ready: Int32Array;
  /** False where the system has no room for it. */
  watch(socketFd: number): boolean;
  /** Not all was read that has come: it will be named again. */
  watchAgain(socketFd: number): void;
  /** To be called before the socket is closed, as its number may be another one's then. */
  unwatch(socketFd: number): void;
  /** How many descriptors, in `ready`, have got something to read, or an end or error, named until that is read. What does not fit there comes with the next call. */
  poll(): number;
}

const READY_MAX = 512;

/** `epoll_ctl` operations, and events: there is something to read, no more will come, tell of each once. */
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const EPOLLIN = 1;
const EPOLLRDHUP = 0x2000;
const EPOLLET = 1 << 31;
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
  const watch = (operation: number, socketFd: number): boolean => {
    event[0] = EPOLLIN | EPOLLRDHUP | EPOLLET;
    event[DATA_WORD] = socketFd;
    return control(epollFd, operation, socketFd, event) === 0;
  };
  return {
    ready,
    watch: (socketFd) => watch(EPOLL_CTL_ADD, socketFd),
    watchAgain(socketFd) {
      watch(EPOLL_CTL_MOD, socketFd);
    },
    unwatch(socketFd) {
      control(epollFd, EPOLL_CTL_DEL, socketFd, event);
    },
    poll() {
      const count = wait(epollFd, eventsAt, READY_MAX, 0);
      for (let i = 0; i < count; i++) {
        ready[i] = events[i * EVENT_WORDS + DATA_WORD]!;
        // An end comes after what is read first, maybe.
        if (events[i * EVENT_WORDS] !== EPOLLIN) watch(EPOLL_CTL_MOD, ready[i]!);
      }
      return Math.max(0, count);
    },
    [Symbol.dispose]() {
      handle.close();
      close(epollFd);
    },
  };
}
