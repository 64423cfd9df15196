import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { realClock } from "../../src/base/clock.ts";
import { Volumes } from "../../src/volume/lifecycle/volumes.ts";
import { mountAt } from "../../src/volume/mount/mount-table.ts";
import { startAnaxS3 } from "../../test/kit/anax.ts";
import { aVolumePlace } from "../../test/kit/mounted-volume.ts";
import { missingPrograms, must, start } from "../../test/kit/process.ts";
import { NEW_VOLUME, VOLUME } from "../../test/kit/s3-gateway.ts";

/** A file system that loads are done to. */
export interface FileSystem {
  readonly name: string;
  readonly dir: string;
  /** Its part of the operations: a slow one would take all the time. */
  readonly part: number;
}

/** File systems of other programs of Debian that speak FUSE as well, over directories below `path`. Their results are rates, so that fewer operations do. */
const OTHERS: Readonly<Record<string, Other>> = {
  bindfs: {
    part: 1,
    argsOf: async ({ source, dir }) => ["-f", source, dir],
  },
  rclone: {
    part: 0.1,
    argsOf: async ({ path, source, dir }) => {
      const cache = ["--vfs-cache-mode", "full", "--vfs-write-back", "0s", "--cache-dir", join(path, "rclone-cache")];
      return ["mount", "--config", join(path, "no-rclone.conf"), ...cache, `:local:${source}`, dir];
    },
  },
  s3fs: {
    part: 0.01,
    async argsOf({ scope, path, dir }) {
      const dataDir = join(path, "s3fs-volume");
      const { key } = await new Volumes(dataDir, realClock).create(NEW_VOLUME);
      const gateway = scope.use(await startAnaxS3({ dataDir }));
      const passwords = join(path, "s3fs-passwords");
      writeFileSync(passwords, `${key.id}:${key.secret}`, { mode: 0o600 });
      const options = [`url=${gateway.listeners["s3"]}`, `passwd_file=${passwords}`, `use_cache=${join(path, "s3fs-cache")}`];
      return [VOLUME, dir, "-f", "-o", [...options, "use_path_request_style"].join(",")];
    },
  },
};

interface Other {
  readonly part: number;
  /** The command line that mounts it on `dir`, in the foreground. */
  readonly argsOf: (place: OtherPlace) => Promise<readonly string[]>;
}

interface OtherPlace {
  readonly scope: AsyncDisposableStack;
  readonly path: string;
  readonly source: string;
  readonly dir: string;
}

/** A volume, the file system that `path` lies on, and those of other programs that are installed, in this order; mounted until the end of the scope. */
export async function startFileSystems(scope: AsyncDisposableStack, path: string, withOthers: boolean): Promise<readonly FileSystem[]> {
  const place = scope.use(await aVolumePlace());
  const { dir } = scope.use(await place.mount());
  const local = join(path, "local");
  mkdirSync(local);
  const type = (await must("stat", ["-f", "-c", "%T", local])).trim();
  const all: FileSystem[] = [
    { name: "volume", dir, part: 1 },
    { name: type, dir: local, part: 1 },
  ];
  for (const [name, other] of withOthers ? Object.entries(OTHERS) : []) {
    if (missingPrograms([name]).length === 0) all.push(await startOther(scope, path, name, other));
    else console.error(`${name} is not installed, and left out`);
  }
  return all;
}

async function startOther(scope: AsyncDisposableStack, path: string, name: string, { part, argsOf }: Other): Promise<FileSystem> {
  const [source, dir] = [join(path, `${name}-source`), join(path, `${name}-mount`)];
  for (const each of [source, dir]) mkdirSync(each);
  const args = await argsOf({ scope, path, source, dir });
  scope.use(await start(name, args, { logFile: join(path, `${name}.log`), ready: async () => mountAt(dir) !== undefined }));
  return { name, dir, part };
}
