import { join } from "node:path";
import { textIn } from "./kernel-text.ts";

/** What the kernel allows a process to take of memory, and what became of it (control groups of either version). */
export interface MemoryGroup {
  readonly version: 1 | 2;
  /** Its directory. */
  readonly path: string;
  /** The tightest of its own limits and those of the groups around it; undefined: none. */
  readonly limitBytes: number | undefined;
  /** From here on its processes are slowed down and their memory reclaimed; version 2 only. */
  readonly highBytes: number | undefined;
  readonly usedBytes: number | undefined;
  /** The most that it ever took. */
  readonly peakBytes: number | undefined;
  /** Of its memory in swap; version 2 only. */
  readonly swapBytes: number | undefined;
  /** Processes in it that the kernel killed for memory. */
  readonly oomKills: number;
}

const FILES = {
  1: {
    limit: "memory.limit_in_bytes",
    high: undefined,
    used: "memory.usage_in_bytes",
    peak: "memory.max_usage_in_bytes",
    swap: undefined,
    events: "memory.oom_control",
  },
  2: {
    limit: "memory.max",
    high: "memory.high",
    used: "memory.current",
    peak: "memory.peak",
    swap: "memory.swap.current",
    events: "memory.events",
  },
} as const;

/** Groups lie in groups; deeper is no system that runs. */
const DEPTH_MAX = 32;
/** Version 1 writes the largest page-aligned number for "no limit". */
const UNLIMITED_BYTES = 2 ** 60;

/** The group of a process, or undefined where the kernel tells of none. `root` stands for `/`. */
export function memoryGroupOf(pid: number | "self", root = "/"): MemoryGroup | undefined {
  const found = locate(pid, root);
  return found && memoryGroupAt(found.path, found.version, { root, top: found.top });
}

/** A group by its directory; those around it, up to `top`, count for its limits. Undefined when it is no such directory. */
export function memoryGroupAt(
  path: string,
  version: 1 | 2,
  { root = "/", top = path }: { readonly root?: string; readonly top?: string } = {},
): MemoryGroup | undefined {
  const files = FILES[version];
  const text = (dir: string, file: string | undefined): string => (file === undefined ? "" : textIn(join(root, dir, file)).trim());
  const around: string[] = [path];
  for (let dir = path; dir !== top && dir.startsWith(top) && around.length < DEPTH_MAX; around.push(dir)) dir = join(dir, "..");
  const tightest = (file: string | undefined): number | undefined => {
    const limits = around.map((dir) => bytesOf(text(dir, file))).filter((bytes) => bytes !== undefined);
    return limits.length === 0 ? undefined : Math.min(...limits);
  };
  const events = text(path, files.events);
  const usedBytes = bytesOf(text(path, files.used));
  if (usedBytes === undefined && events === "") return undefined;
  return {
    version,
    path,
    limitBytes: tightest(files.limit),
    highBytes: tightest(files.high),
    usedBytes,
    peakBytes: bytesOf(text(path, files.peak)),
    swapBytes: bytesOf(text(path, files.swap)),
    oomKills: Number(/^oom_kill (\d{1,15})$/m.exec(events)?.[1] ?? 0),
  };
}

interface Place {
  readonly version: 1 | 2;
  readonly path: string;
  /** Where the hierarchy is mounted. */
  readonly top: string;
}

/** `/proc/<pid>/cgroup` names the group in its hierarchy, `mountinfo` where that is mounted, and from which of its groups on. */
function locate(pid: number | "self", root: string): Place | undefined {
  const mounts = textIn(join(root, "proc/self/mountinfo")).split("\n").map(mountOf);
  for (const [, controllers, group = "/"] of textIn(join(root, `proc/${pid}/cgroup`)).matchAll(/^\d+:([^:\n]*):(.*)$/gm)) {
    const version = controllers === "" ? 2 : 1;
    if (version === 1 && !controllers!.split(",").includes("memory")) continue; // the pattern has the group
    const mount = mounts.find((found) =>
      version === 2 ? found?.type === "cgroup2" : found?.type === "cgroup" && found.options.includes("memory"),
    );
    if (mount === undefined) continue;
    const inner = mount.root === "/" ? group : group.startsWith(mount.root) ? group.slice(mount.root.length) : "/";
    const path = inner.split("/").includes("..") ? mount.point : join(mount.point, inner); // `..`: it is outside of what we see
    const place = { version, path: path.replace(/(?<=.)\/$/, ""), top: mount.point } as const;
    if (memoryGroupAt(place.path, version, { root }) !== undefined) return place;
  }
  return undefined;
}

interface Mount {
  readonly root: string;
  readonly point: string;
  readonly type: string;
  readonly options: readonly string[];
}

function mountOf(line: string): Mount | undefined {
  const [before = "", after = ""] = line.split(" - ");
  const [, , , root, point] = before.split(" ");
  const [type, , options = ""] = after.split(" ");
  if (root === undefined || point === undefined || type === undefined) return undefined;
  return { root: unescaped(root), point: unescaped(point), type, options: options.split(",") };
}

/** The kernel writes blanks in paths as `\040`. */
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

function bytesOf(text: string): number | undefined {
  if (!/^\d{1,20}$/.test(text)) return undefined; // `max`, or what no kernel wrote
  const bytes = Number(text);
  return bytes < UNLIMITED_BYTES ? bytes : undefined;
}
