import { writeSync } from "node:fs";
import { loadKoffi } from "./koffi.ts";

/** Number of a descriptor that wakes who waits for it: `eventfd(2)`. All threads of this process may use it, as long as the process lives. */
export type Bell = number;

/** `eventfd2` flags. */
const EFD_CLOEXEC = 0o2_000_000;
const EFD_NONBLOCK = 0o4000;
const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

/** Undefined where koffi, Linux or glibc is missing. */
export async function createBell(): Promise<Bell | undefined> {
  const koffi = await loadKoffi();
  if (koffi === undefined) return undefined;
  const eventfd = koffi.load("libc.so.6").func("int eventfd(unsigned int, int)") as (count: number, flags: number) => number;
  const bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return bell < 0 ? undefined : bell;
}

/** Whoever waits for it wakes, or does not fall asleep the next time. */
export const ring = (bell: Bell): void => void writeSync(bell, ONE);
