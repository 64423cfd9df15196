import type koffiModule from "koffi";

export type Koffi = typeof koffiModule;

/** The library for calls that Node lacks; undefined where it, Linux or glibc is missing. Optional by design: the plain way does the same with more copying. */
export async function loadKoffi(): Promise<Koffi | undefined> {
  if (process.platform !== "linux") return undefined;
  try {
    const { default: koffi } = await import("koffi");
    koffi.load("libc.so.6"); // musl has none
    return koffi;
  } catch {
    return undefined;
  }
}
