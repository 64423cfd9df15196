import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { anaxCommand, runAnax } from "../kit/anax.ts";
import { unmountable } from "../kit/mounted-volume.ts";
import { missingPrograms, must, run } from "../kit/process.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

/** `nobody`: fusermount3 wants one that has a name. */
const USER = 65_534;
const missing = missingPrograms(["fusermount3", "unshare", "nsenter", "setpriv"]);
const skip = unmountable() ?? (missing.length > 0 ? `missing: ${missing.join(" ")}` : false);

test("a user without privileges mounts by fusermount3, and leaves when the volume is gone", { skip }, async () => {
  await using directory = await temporaryDirectory();
  const at = (name: string): string => join(directory.path, name);
  await chmod(directory.path, 0o755);
  for (const name of ["data", "mnt"]) {
    await mkdir(at(name));
    await chown(at(name), USER, USER);
  }
  const env = { ANAX_DATA_DIR: at("data"), XDG_CACHE_HOME: at("data") };
  const asUser = { env, uid: USER, gid: USER, cwd: "/" };
  assert.equal((await runAnax(["volume", "create", "v"], asUser)).code, 0);
  // A device that everybody may open, as most systems have it, in a namespace of its own.
  await must("mknod", ["-m", "666", at("fuse"), "c", "10", "229"]);
  const words = ["setpriv", "--reuid", String(USER), "--regid", String(USER), "--clear-groups", "--"];
  const script = `mount --bind ${at("fuse")} /dev/fuse && exec "$@"`;
  const mount = anaxCommand(["mount", "v", at("mnt"), "--foreground", "--json"]);
  const child = spawn("unshare", ["-m", "--propagation", "private", "sh", "-c", script, "sh", ...words, ...mount], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
    cwd: "/",
  });
  const exited = once(child, "exit");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const first = await Promise.race([lines.next(), exited]);
  assert.ok(!Array.isArray(first) && first.value !== undefined, "it is mounted");
  const within = (command: string) => run("nsenter", ["-t", String(child.pid), "-m", ...words, "sh", "-c", command]);
  assert.equal((await within(`echo hello > ${at("mnt")}/f && cat ${at("mnt")}/f`)).stdout, "hello\n");
  assert.equal((await within(`stat -c %u:%a ${at("mnt")}/f`)).stdout, `${USER}:644\n`);
  assert.equal((await runAnax(["volume", "delete", "v", "--yes", "--now"], asUser)).code, 0);
  assert.deepEqual(await exited, [143, null]);
});
