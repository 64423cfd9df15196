import { readSync } from "node:fs";
import { promisify } from "node:util";
import type { Bell } from "./bell.ts";
import { loadKoffi } from "./koffi.ts";

/**
 * Waits until a descriptor has something to be read, or is at its end; asleep, or without sleeping as long as nobody else has a use for the processor. To wake a
 * thread that sleeps on an idle processor costs an interrupt there, and in a virtual machine that costs several times what a short answer takes.
 */
export interface RequestWait {
  /** Without sleeping: false when that took too long, or others were to run. Then to sleep is the better wait. */
  readable(timeoutUs: number): boolean;
  /** Blocks this thread; false when the bell has rung and there is nothing to be read. */
  sleep(): boolean;
  /** The same without blocking it. */
  sleepLater(): Promise<boolean>;
}

/** `struct pollfd`: the descriptor, then the events that are wanted, and those that were found. */
const POLLIN = 1;
const FOUND_SHIFT = 16;
/** A turn that took longer let somebody run who works, and does not only ask and wait for the answer. */
const CROWDED_US = 500;
/** Giving way to such a one costs its whole turn, some milliseconds: not tried again for so long. */
const CROWDED_FOR_US = 100_000;
/** `fcntl(2)`. */
const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = 0o4000;

/**
 * `poll(2)` and `sched_yield(2)` for one descriptor and a bell; undefined where koffi, Linux or glibc is missing. Reads of the descriptor never block from then
 * on, but say EAGAIN: what was there to be read may be gone again.
 */
export async function createRequestWait(fd: number, bell: Bell): Promise<RequestWait | undefined> {
  const koffi = await loadKoffi();
  if (koffi === undefined) return undefined;
  const libc = koffi.load("libc.so.6");
  const call = libc.func("int poll(uintptr_t, size_t, int)");
  const poll = call as unknown as (set: number, count: number, timeoutMs: number) => number;
  const pollLater = promisify(call.async) as (set: number, count: number, timeoutMs: number) => Promise<number>;
  const giveWay = libc.func("int sched_yield()") as () => number;
  const fcntl = libc.func("int fcntl(int, int, ...)") as (fd: number, command: number, type: "int", flags: number) => number;
  fcntl(fd, F_SETFL, "int", fcntl(fd, F_GETFL, "int", 0) | O_NONBLOCK);
  const set = new Int32Array([fd, POLLIN, bell, POLLIN]);
  const setAt = Number(koffi.address(set));
  const rung = new Uint8Array(8);
  let freeFromUs = 0;
  const prepare = (): void => {
    set[1] = set[3] = POLLIN; // and keeps the memory, which koffi knows by its address only
  };
  const woken = (): boolean => {
    if (set[3]! >> FOUND_SHIFT !== 0) readSync(bell, rung); // which ends the ringing
    return set[1]! >> FOUND_SHIFT !== 0;
  };
  return {
    readable(timeoutUs) {
      prepare();
      const startUs = nowUs();
      if (startUs < freeFromUs) return false;
      for (let atUs = startUs; ;) {
        if (poll(setAt, 1, 0) !== 0) return true;
        giveWay();
        const beforeUs = atUs;
        atUs = nowUs();
        if (atUs - beforeUs > CROWDED_US) freeFromUs = atUs + CROWDED_FOR_US;
        if (atUs < freeFromUs || atUs - startUs > timeoutUs) return poll(setAt, 1, 0) !== 0;
      }
    },
    sleep() {
      prepare();
      poll(setAt, 2, -1);
      return woken();
    },
    async sleepLater() {
      prepare();
      await pollLater(setAt, 2, -1);
      return woken();
    },
  };
}

/** Monotonic. */
const nowUs = (): number => performance.now() * 1000;
