import { loadKoffi } from "./koffi.ts";

/**
 * Waits without sleeping, as long as nobody else has a use for the processor. To wake a thread that sleeps on an idle processor costs an interrupt there, and
 * in a virtual machine that costs several times what a short answer takes.
 */
export interface BusyWait {
  /**
   * True once there is something to be read, or an end or error to be seen; false when that took too long, or others were to run. Then a read that blocks is
   * the better wait.
   */
  readable(timeoutUs: number): boolean;
}

/** `struct pollfd`: the descriptor, then the events that are wanted, and those that were found. */
const POLLIN = 1;
/** A turn that took longer let somebody run who works, and does not only ask and wait for the answer. */
const CROWDED_US = 500;
/** Giving way to such a one costs its whole turn, some milliseconds: not tried again for so long. */
const CROWDED_FOR_US = 100_000;

/** `poll(2)` and `sched_yield(2)` for one descriptor; undefined where koffi, Linux or glibc is missing. */
export async function createBusyWait(fd: number): Promise<BusyWait | undefined> {
  const koffi = await loadKoffi();
  if (koffi === undefined) return undefined;
  const libc = koffi.load("libc.so.6");
  const poll = libc.func("int poll(uintptr_t, size_t, int)") as (set: number, count: number, timeoutMs: number) => number;
  const giveWay = libc.func("int sched_yield()") as () => number;
  const set = new Int32Array([fd, POLLIN]);
  const setAt = Number(koffi.address(set));
  let freeFromUs = 0;
  return {
    readable(timeoutUs) {
      set[1] = POLLIN; // and keeps the memory, which koffi knows by its address only
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
  };
}

/** Monotonic. */
const nowUs = (): number => performance.now() * 1000;
