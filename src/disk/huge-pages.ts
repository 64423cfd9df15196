import { loadKoffi } from "./koffi.ts";

/** Makes memory, all zeros. */
export type MakeMemory = (bytes: number) => Buffer;

const HUGE_PAGE_BYTES = 2 * 1024 * 1024;
const MADV_HUGEPAGE = 14;

export const plainMemory: MakeMemory = (bytes) => Buffer.from(new ArrayBuffer(bytes));

/**
 * Memory that the kernel may keep in pages of 2 MiB (`madvise(2)`): what lies far apart is then found without a walk through tables of small pages, which takes longer than
 * the access, above all in a virtual machine. Plain memory where the system has no such thing.
 */
export async function loadHugeMemory(): Promise<MakeMemory> {
  const koffi = await loadKoffi();
  if (koffi === undefined) return plainMemory;
  const madvise = koffi.load("libc.so.6").func("int madvise(uintptr_t, size_t, int)") as (
    ...args: readonly [at: number, bytes: number, advice: number]
  ) => number;
  return (bytes) => {
    const memory = new ArrayBuffer(bytes + HUGE_PAGE_BYTES); // what is not touched is not there
    const at = Number(koffi.address(memory));
    const offset = (HUGE_PAGE_BYTES - (at % HUGE_PAGE_BYTES)) % HUGE_PAGE_BYTES;
    madvise(at + offset, bytes, MADV_HUGEPAGE); // only advice
    return Buffer.from(memory, offset, bytes);
  };
}
