import { isBelow } from "../../disk/below.ts";

/** A mount as `/proc/<pid>/mountinfo` has it (proc(5)); the fields that tell which part of which file system is where. */
export interface Mount {
  /** `major:minor` of the file system. */
  readonly device: string;
  /** Which part of the file system it is: a path from the file system's own root. */
  readonly root: string;
  readonly mountPoint: string;
}

/** Mounts that are looked at; a machine with more has other troubles. */
const MOUNTS_MAX = 100_000;

/** Lines that make no sense are left out. */
export function parseMountInfo(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split("\n")) {
    const [, , device, root, mountPoint] = line.split(" ", 6);
    if (device === undefined || !/^\d+:\d+$/.test(device) || root === undefined || mountPoint === undefined) continue;
    mounts.push({ device, root: unescaped(root), mountPoint: unescaped(mountPoint) });
    if (mounts.length === MOUNTS_MAX) break;
  }
  return mounts;
}

/** Blanks, tabs, line feeds and backslashes are written as octal numbers. */
const unescaped = (text: string): string => text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));

/** A place in a file system, whatever it is mounted at. */
export interface Place {
  readonly device: string;
  readonly path: string;
}

/** Where in which file system an absolute path is; undefined where no mount says so. */
export function placeOf(path: string, mounts: readonly Mount[]): Place | undefined {
  let best: Mount | undefined; // of mounts at one point the last one hides the others
  for (const mount of mounts)
    if (isBelow(path, mount.mountPoint) && mount.mountPoint.length >= (best?.mountPoint.length ?? 0)) best = mount;
  return best && { device: best.device, path: joined(best.root, path.slice(best.mountPoint === "/" ? 0 : best.mountPoint.length)) };
}

/** What of a directory is mounted by itself: paths relative to it, and where. */
export function mountedIn(dir: Place, mounts: readonly Mount[]): { readonly path: string; readonly mountPoint: string }[] {
  return mounts
    .filter(({ device, root }) => device === dir.device && root !== dir.path && isBelow(root, dir.path))
    .map(({ root, mountPoint }) => ({ path: root.slice(dir.path === "/" ? 1 : dir.path.length + 1), mountPoint }));
}

const joined = (root: string, rest: string): string => (root === "/" ? rest || "/" : root + rest);
