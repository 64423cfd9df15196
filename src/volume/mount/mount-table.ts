import { readFileSync } from "node:fs";

/** A line of /proc/self/mountinfo, proc_pid_mountinfo(5). */
export interface MountEntry {
  readonly path: string;
  readonly type: string;
  readonly source: string;
  /** `major:minor` of the file system; the minor one is the number of a FUSE connection. */
  readonly device: string;
  readonly options: string;
}

/** File system type of our mounts, as `mount` and `df` show it. */
export const MOUNT_TYPE = "fuse.anax";

export const mountTable = (): readonly MountEntry[] => parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));

/** What is mounted on exactly this path; the last one covers the others. */
export const mountAt = (path: string, table = mountTable()): MountEntry | undefined => table.findLast((entry) => entry.path === path);

/** Number of the FUSE connection behind a mount, the name of its folder below /sys/fs/fuse/connections. */
export const connectionOf = (entry: MountEntry): number => Number(entry.device.split(":")[1]);

export function parseMountInfo(text: string): readonly MountEntry[] {
  return text.split("\n").flatMap((line) => {
    const fields = line.split(" ");
    const dash = fields.indexOf("-", 6); // optional fields are before it
    const [device, path, options] = [fields[2], fields[4], fields[5]];
    const [type, source] = [fields[dash + 1], fields[dash + 2]];
    if (dash < 0 || device === undefined || path === undefined || options === undefined || type === undefined) return [];
    return [{ path: unescapeOctal(path), type, source: unescapeOctal(source ?? ""), device, options }];
  });
}

/** Spaces and the like come as `\040`; other bytes as they are, so names that are no UTF-8 never match ours. */
const unescapeOctal = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
