import { chmod, mkdir, readFile } from "node:fs/promises";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { realClock } from "../../src/base/clock.ts";
import { IN_DIRECTORY, type VolumeData } from "../../src/volume/data/volume-data.ts";
import type { VolumeRecord } from "../../src/volume/lifecycle/volume-record.ts";
import { Volumes } from "../../src/volume/lifecycle/volumes.ts";
import { exitOf, runAnax, spawnAnax, type Ran } from "./anax.ts";
import { run } from "./process.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** A mount in the foreground, by the program as users get it. */
export interface MountedVolume extends AsyncDisposable {
  /** Where it is mounted. */
  readonly dir: string;
  readonly dataDir: string;
  readonly supervisorPid: number;
  readonly volumeUuid: string;
  /** Of the mount process that serves now. */
  mountPid(): number;
  /** Exit code of the supervisor, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>;
  /** Lines that it has logged. */
  log(): string;
}

/** A data directory with a volume in it, and an empty directory to mount it on. */
export interface VolumePlace extends AsyncDisposable {
  readonly dataDir: string;
  readonly dir: string;
  readonly volumes: Volumes;
  /** Deletes it as `anax volume delete --now` does, or marks it. */
  delete(options: { readonly now: boolean }): Promise<unknown>;
  /** A command of Anax with this data directory. */
  anax(args: readonly string[]): Promise<Ran>;
  mount(args?: readonly string[], dir?: string): Promise<MountedVolume>;
}

const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;

export const VOLUME = "v";

const NEW_VOLUME = {
  name: VOLUME,
  owner: "test",
  capacityBytes: 0,
  inodesMax: 0,
  readOnly: false,
  undeleteMs: 3_600_000,
  uid: 0,
  gid: 0,
  permissions: 0o755,
} as const;

/** Why volumes cannot be mounted here; undefined where they can. */
export const unmountable = (): string | undefined =>
  process.getuid?.() !== 0 ? "only root may mount" : existsSync("/dev/fuse") ? undefined : "there is no /dev/fuse";

export async function aVolumePlace(
  onDelete: VolumeRecord["onDelete"] = "detach-now",
  data: VolumeData = IN_DIRECTORY,
): Promise<VolumePlace> {
  await using scope = new AsyncDisposableStack();
  const { path } = scope.use(await temporaryDirectory());
  const [dataDir, dir] = [join(path, "data"), join(path, "mnt")];
  await Promise.all([mkdir(dir), mkdir(dataDir), chmod(path, 0o755)]); // other users are to get at the mount
  const env = { ANAX_DATA_DIR: dataDir };
  const volumes = new Volumes(dataDir, realClock);
  await volumes.create({ ...NEW_VOLUME, onDelete, data });
  const owned = scope.move();
  return {
    dataDir,
    dir,
    volumes,
    delete: ({ now }) => volumes.delete(VOLUME, { now, by: "test" }),
    anax: (args) => runAnax(args, { env }),
    mount: (args = [], at = dir) => mounted(dataDir, at, args),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export async function mounted(dataDir: string, dir: string, args: readonly string[]): Promise<MountedVolume> {
  const child = spawnAnax(["mount", VOLUME, dir, "--foreground", "--json", ...args], { env: { ANAX_DATA_DIR: dataDir } });
  const lines: string[] = [];
  createInterface({ input: child.stderr! }).on("line", (line) => void lines.push(line));
  const exited = exitOf(child);
  const { promise, resolve, reject } = Promise.withResolvers<{ readonly supervisorPid: number; readonly volumeUuid: string }>();
  createInterface({ input: child.stdout! }).on("line", (line) =>
    resolve(JSON.parse(line) as { supervisorPid: number; volumeUuid: string }),
  );
  void exited.then((code) => reject(new Error(`anax mount ended with ${code}:\n${lines.join("\n")}`)));
  using _late = realClock.timer(READY_TIMEOUT_MS, () => reject(new Error(`not mounted in time:\n${lines.join("\n")}`)));
  const { supervisorPid, volumeUuid } = await promise;
  return {
    dir,
    dataDir,
    supervisorPid,
    volumeUuid,
    mountPid: () => (JSON.parse(readFileSync(join(recordsOf(dataDir, dir), "mount.json"), "utf8")) as { mountPid: number }).mountPid,
    exited,
    log: () => lines.join("\n"),
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
      {
        using _slow = realClock.timer(STOP_TIMEOUT_MS, () => void child.kill("SIGKILL"));
        await exited;
      }
      while (await isMounted(dir)) await run("umount", ["-l", dir]);
    },
  };
}

/** Folder of the records of a mount. */
export const recordsOf = (dataDir: string, dir: string): string => join(dataDir, "mounts", encodeURIComponent(dir));

export const isMounted = async (dir: string): Promise<boolean> => (await readFile("/proc/self/mounts", "utf8")).includes(` ${dir} `);

export async function jsonFile(path: string): Promise<Readonly<Record<string, unknown>>> {
  return JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
}
