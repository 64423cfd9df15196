import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realClock } from "../../base/clock.ts";
import type { NewVolume } from "../meta/new-volume.ts";
import { formatSqlite } from "../meta/sqlite/format.ts";
import { openSqliteControl } from "../meta/sqlite/sqlite-control.ts";
import type { EngineVerbs } from "../meta/rules/verbs-on.ts";
import { openSqliteVerbs } from "../meta/sqlite/sqlite-verbs.ts";
import type { VolumeControl } from "../meta/control.ts";
import { LocalBlobs } from "./local-blobs.ts";
import { LocalFiles } from "./local-files.ts";

/** A mount's half of a local volume, for tests. */
export interface LocalMount extends AsyncDisposable {
  readonly verbs: EngineVerbs;
  readonly files: LocalFiles;
  readonly damaged: readonly number[];
}

export interface LocalVolumeFixture extends AsyncDisposable {
  readonly dir: string;
  readonly control: VolumeControl;
  mount(options?: { readonly bufferBytesMax?: number }): Promise<LocalMount>;
}

export async function aLocalVolume(limits: Partial<NewVolume> = {}): Promise<LocalVolumeFixture> {
  const dir = await mkdtemp(join(tmpdir(), "anax-volume-"));
  const path = join(dir, "meta.sqlite");
  const uuid = "00000000-0000-4000-8000-000000000001";
  formatSqlite(path, { uuid, capacityBytes: 0, inodesMax: 0, readOnly: false, uid: 0, gid: 0, permissions: 0o755, ...limits }, realClock);
  const control = openSqliteControl(path, realClock);
  const open: AsyncDisposable[] = [];
  return {
    dir,
    control,
    async mount({ bufferBytesMax = 64 * 1024 * 1024 } = {}) {
      const sessionId = await control.beginSession({ host: "here", pid: process.pid, mountpoint: "/mnt", readOnly: false });
      const verbs = openSqliteVerbs({ path, sessionId, clock: realClock });
      const damaged: number[] = [];
      const blobs = new LocalBlobs(join(dir, "blobs"));
      const files = new LocalFiles({ verbs, blobs, clock: realClock, bufferBytesMax, onDamage: (ino) => damaged.push(ino) });
      const mounted: LocalMount = {
        verbs,
        files,
        damaged,
        async [Symbol.asyncDispose]() {
          await files[Symbol.asyncDispose]();
          await verbs[Symbol.asyncDispose]();
        },
      };
      open.push(mounted);
      return mounted;
    },
    async [Symbol.asyncDispose]() {
      for (const each of open) await each[Symbol.asyncDispose]();
      await control[Symbol.asyncDispose]();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** A new file in the root directory; its inode. */
export function aFile({ verbs }: Pick<LocalMount, "verbs">, name = "f"): number {
  const made = verbs.create(1, name, { kind: "file", permissions: 0o644, uid: 0, gid: 0 });
  if (typeof made === "number") throw new Error(`errno ${made}`);
  return made.ino;
}
