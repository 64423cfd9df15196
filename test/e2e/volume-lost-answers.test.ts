import assert from "node:assert/strict";
import { mkdir, readdir, stat, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { realClock } from "../../src/base/clock.ts";
import { runAnax } from "../kit/anax.ts";
import { mounted, unmountable, VOLUME } from "../kit/mounted-volume.ts";
import { ownStorePlaces } from "../kit/own-store-volume.ts";
import { startReplyCutter } from "../kit/reply-cutter.ts";

/** More than a mount asks after a commit of which it has no answer, twice. */
const OUTAGE_MS = 13_000;

test(
  "what was done while the engine's answers did not come is not answered with EEXIST or ENOENT",
  { skip: unmountable() ?? false },
  async () => {
    await using scope = new AsyncDisposableStack();
    const { dataDir, dir, engine } = await ownStorePlaces(scope);
    scope.use(await engine.run());
    const cutter = scope.use(await startReplyCutter(engine.port));
    const created = await runAnax(["volume", "create", VOLUME, "--meta", engine.urlOn(cutter.port), "--json"], {
      env: { ANAX_DATA_DIR: dataDir },
    });
    assert.equal(created.code, 0, created.stderr);
    scope.use(await mounted(dataDir, dir, ["-o", "entry_timeout=1m,attr_timeout=1m,negative_timeout=1m"]));
    // Nothing here may block: this process passes the answers on.
    const [old, made] = [join(dir, "old"), join(dir, "made")];
    await writeFile(old, "old");
    await stat(old); // the kernel knows both names, and asks for neither
    await assert.rejects(stat(made), { code: "ENOENT" });
    await realClock.sleep(100); // what was written is settled

    cutter.holdReplies();
    const calls = Promise.all([unlink(old), mkdir(made)]);
    await Promise.race([calls, realClock.sleep(OUTAGE_MS)]);
    cutter.cut();
    await calls;
    assert.deepEqual((await readdir(dir)).toSorted(), ["made"]);
  },
);
