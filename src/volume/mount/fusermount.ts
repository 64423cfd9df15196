import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync } from "node:fs";
import { AnaxError } from "../../base/errors.ts";
import { loadKoffi, type Koffi } from "../../disk/koffi.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const POLLIN = 1;
const TIMEOUT_MS = 10_000;

/**
 * Mounts without privileges: the setuid program fusermount3 of the system opens the device, mounts, and sends us the descriptor over a socket
 * (`SCM_RIGHTS`, for which Node has no call). Throws `volume.mount-failed`, with that program's own words where it has any.
 */
export async function mountByFusermount(dir: string, options: readonly string[]): Promise<number> {
  const koffi = await loadKoffi();
  if (koffi === undefined) throw new AnaxError("volume.mount-failed", { dir, reason: "without root this needs the koffi package" });
  const calls = callsOf(koffi);
  const sockets = new Int32Array(2);
  if (calls.socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) !== 0)
    throw new AnaxError("volume.mount-failed", { dir, reason: "socketpair(2) failed" });
  const [ours, theirs] = sockets as unknown as readonly [number, number]; // it has two
  try {
    const child = spawn("fusermount3", ["-o", options.join(","), "--", dir], {
      stdio: ["ignore", "ignore", "pipe", theirs],
      env: { ...process.env, _FUSE_COMMFD: "3" },
    });
    let words = "";
    child.stderr?.on("data", (chunk: Buffer) => (words += chunk.toString("utf8", 0, 1000)));
    const ended = Promise.race([once(child, "close"), once(child, "error")]);
    closeSync(theirs); // so that its end is seen
    const fd = calls.receive(ours);
    await ended;
    if (fd === undefined)
      throw new AnaxError("volume.mount-failed", { dir, reason: words.trim() || "fusermount3 could not be run (Debian: fuse3)" });
    return fd;
  } finally {
    closeSync(ours);
  }
}

function callsOf(koffi: Koffi) {
  const libc = koffi.load("libc.so.6");
  const poll = libc.func("int poll(int *, unsigned long, int)") as (fds: Int32Array, count: number, timeoutMs: number) => number;
  const recvmsg = libc.func("long recvmsg(int, void *, int)") as (fd: number, message: BigUint64Array, flags: number) => number;
  return {
    socketpair: libc.func("int socketpair(int, int, int, int *)") as (
      ...args: readonly [domain: number, type: number, protocol: number, fds: Int32Array]
    ) => number,
    /** The descriptor that comes over a socket; undefined when none does. */
    receive(socket: number): number | undefined {
      if (poll(new Int32Array([socket, POLLIN]), 1, TIMEOUT_MS) <= 0) return undefined;
      const byte = Buffer.alloc(8);
      const control = Buffer.alloc(64);
      const vector = new BigUint64Array([koffi.address(byte), 1n]); // struct iovec
      // struct msghdr of 64-bit Linux: name, its length, vector, count, control, its length, flags
      const message = new BigUint64Array([0n, 0n, koffi.address(vector), 1n, koffi.address(control), BigInt(control.length), 0n]);
      if (recvmsg(socket, message, MSG_CMSG_CLOEXEC) <= 0) return undefined;
      // struct cmsghdr: its length, level, type, then the descriptor
      if (message[5]! < 20n || control.readInt32LE(8) !== SOL_SOCKET || control.readInt32LE(12) !== SCM_RIGHTS) return undefined;
      return control.readInt32LE(16);
    },
  };
}
