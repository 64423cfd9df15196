import { loadKoffi, type Koffi } from "./koffi.ts";

/** System calls that Node lacks. All return at once: never use them from a thread that does not own the socket. */
export interface NativeSocket {
  /**
   * `sendfile(2)` from a file to a non-blocking socket: the number of bytes that the kernel took, 0 at the end of the file,
   * or a negative errno.
   */
  send(socketFd: number, fileFd: number, offsetBytes: number, lengthBytes: number): number;
  /**
   * `send(2)` of a head to a non-blocking socket, kept back by the kernel until more follows, so that it does not travel in a packet of its own.
   * The number of bytes that the kernel took, or a negative errno.
   */
  sendMore(socketFd: number, bytes: Uint8Array): number;
  /**
   * `TCP_NOTSENT_LOWAT`: how many bytes a socket takes beyond what is on its way. What is not in the kernel yet can still give way to something
   * else. False where the system does not know the option.
   */
  limitUnsent(socketFd: number, bytes: number): boolean;
  /**
   * `SO_RCVLOWAT`: a socket wakes its reader once so many bytes are there, or no more will come. False where the system does not know the
   * option.
   */
  wakeAt(socketFd: number, bytes: number): boolean;
  /** False when reading this byte would wait for the disk. */
  resident(fileFd: number, offsetBytes: number): boolean;
}

export const EINTR = -4;
export const EIO = -5;
export const EAGAIN = -11;
/** Answers that say "not with these two descriptors", not "this failed". */
export const UNSUPPORTED: ReadonlySet<number> = new Set([-22 /* EINVAL */, -38 /* ENOSYS */, -75 /* EOVERFLOW */, -95 /* EOPNOTSUPP */]);

/** `preadv2` flag (Linux 4.14): answer EAGAIN rather than wait for the disk. */
const RWF_NOWAIT = 8;

/** `send` flags: do not wait, raise no signal, more follows. */
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_MORE = 0x8000;
const IPPROTO_TCP = 6;
const TCP_NOTSENT_LOWAT = 25;
const SOL_SOCKET = 1;
const SO_RCVLOWAT = 18;

/** The descriptor under a socket or a server of Node, which has no public name for it; below 0: there is none. */
export const descriptorUnder = (owner: object): number =>
  (owner as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd ?? -1;

let loading: Promise<NativeSocket | undefined> | undefined;

/** The calls through koffi, bound once; undefined where that optional library, Linux or glibc is missing. */
export const loadNativeSocket = (): Promise<NativeSocket | undefined> => (loading ??= load());

async function load(): Promise<NativeSocket | undefined> {
  const koffi = await loadKoffi();
  return koffi && bind(koffi);
}

function bind(koffi: Koffi): NativeSocket {
  const libc = koffi.load("libc.so.6");
  const sendfile = libc.func("int64_t sendfile(int, int, int64_t *, size_t)") as (
    o: number,
    i: number,
    at: BigInt64Array,
    n: number,
  ) => number;
  const send = libc.func("int64_t send(int, const void *, size_t, int)") as (
    fd: number,
    bytes: Uint8Array,
    n: number,
    flags: number,
  ) => number;
  const setsockopt = libc.func("int setsockopt(int, int, int, const int *, uint32_t)") as (
    ...args: readonly [fd: number, level: number, name: number, value: Int32Array, bytes: number]
  ) => number;
  const preadv2 = libc.func("int64_t preadv2(int, const void *, int, int64_t, int)") as (
    ...args: readonly [fd: number, vector: Buffer, count: number, offset: number, flags: number]
  ) => number;
  const place = new BigInt64Array(1);
  const vector = oneByteVector(koffi);
  const number = new Int32Array(1);
  return {
    send(socketFd, fileFd, offsetBytes, lengthBytes) {
      place[0] = BigInt(offsetBytes);
      const sent = sendfile(socketFd, fileFd, place, lengthBytes);
      return sent < 0 ? -koffi.errno() : sent;
    },
    sendMore(socketFd, bytes) {
      const sent = send(socketFd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE);
      return sent < 0 ? -koffi.errno() : sent;
    },
    limitUnsent(socketFd, bytes) {
      number[0] = bytes;
      return setsockopt(socketFd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, number, 4) === 0;
    },
    wakeAt(socketFd, bytes) {
      number[0] = bytes;
      return setsockopt(socketFd, SOL_SOCKET, SO_RCVLOWAT, number, 4) === 0;
    },
    resident(fileFd, offsetBytes) {
      if (preadv2(fileFd, vector, 1, offsetBytes, RWF_NOWAIT) >= 0) return true;
      // A file system without this flag (EOPNOTSUPP: tmpfs) is taken for fast; other errors come up again when sending.
      return koffi.errno() !== -EAGAIN;
    },
  };
}

/** A `struct iovec` for one byte that nobody looks at. */
function oneByteVector(koffi: Koffi): Buffer {
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(koffi.address(koffi.alloc("uint8_t", 1)), 0);
  vector.writeBigUInt64LE(1n, 8);
  return vector;
}
