import assert from "node:assert/strict";
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openFuseConnection } from "../../src/volume/mount/fuse-connection.ts";
import { connectionOf, mountAt } from "../../src/volume/mount/mount-table.ts";
import { runAnax } from "../kit/anax.ts";
import { aMountUser } from "../kit/mount-user.ts";
import { mounted, unmountable, VOLUME } from "../kit/mounted-volume.ts";
import { waitFor } from "../kit/process.ts";
import { ownStorePlaces } from "../kit/own-store-volume.ts";

const ENDS_IN_MS = 10_000;

test(
  "a mount that waits for its engine can be killed with its supervisor: no process hangs, and the path can be cleaned",
  {
    skip: unmountable() ?? false,
  },
  async () => {
    await using scope = new AsyncDisposableStack();
    const { dataDir, dir, engine } = await ownStorePlaces(scope);
    const running = scope.use(await engine.run());
    const anax = (...args: readonly string[]) => runAnax([...args, "--json"], { env: { ANAX_DATA_DIR: dataDir } });
    assert.equal((await anax("volume", "create", VOLUME, "--meta", engine.urlOn(engine.port))).code, 0);
    const volume = scope.use(await mounted(dataDir, dir, []));
    const file = join(dir, "f");
    writeFileSync(file, "kept");
    const [one, other] = [openSync(file, "r"), openSync(file, "r")];
    const connection = await openFuseConnection(connectionOf(mountAt(dir)!)); // it is mounted
    assert.ok(connection !== undefined);
    scope.defer(() => connection.abort()); // otherwise this test would hang where it fails

    process.kill(running.pid, "SIGSTOP");
    scope.defer(() => void process.kill(running.pid, "SIGCONT"));
    closeSync(other); // after which the mount ends its group of changes, for which it asks the engine
    await using reader = await aMountUser(dir, "reader");
    await waitFor(async () => (connection.waiting() ?? 0) > 0);
    const served = volume.mountPid();
    for (const pid of [served, volume.supervisorPid]) process.kill(pid, "SIGKILL");

    await waitFor(async () => !existsSync(`/proc/${served}`), ENDS_IN_MS);
    assert.notEqual((await reader.end())["stat"], "ok");
    assert.throws(() => closeSync(one));
    process.kill(running.pid, "SIGCONT");
    assert.equal((await anax("umount", dir, "--force")).code, 0);
    await using again = await mounted(dataDir, dir, []);
    assert.equal(readFileSync(join(again.dir, "f"), "utf8"), "kept");
  },
);
