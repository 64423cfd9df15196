import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { realClock } from "../../src/base/clock.ts";
import { createRandom } from "../../src/base/random.ts";
import { openVolume } from "../../src/volume/lifecycle/open-volume.ts";
import { Volumes } from "../../src/volume/lifecycle/volumes.ts";
import { ROOT_INO } from "../../src/volume/meta/verbs.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";
import { contentOf } from "../kit/volume-content.ts";

const WRITER = join(import.meta.dirname, "../kit/volume-writer-process.ts");
const ROUNDS = Number(process.env["ANAX_VOLUME_KILLS"] ?? 5);
const SEED = Number(process.env["ANAX_VOLUME_KILLS_SEED"] ?? 7);

/** What a file must be: as confirmed, or, where a change was under way when the process died, as something may have left it. */
type Expected = { readonly seed: number; readonly length: number } | "absent" | "unknown";

test("kill -9 at any moment loses nothing that fsync has confirmed, and leaves a volume that is consistent", async () => {
  await using dir = await temporaryDirectory();
  const dataDir = join(dir.path, "data");
  const volumes = new Volumes(dataDir, realClock);
  const { volume } = await volumes.create({
    name: "v",
    owner: "ann",
    capacityBytes: 0,
    inodesMax: 0,
    readOnly: false,
    onDelete: "detach-now",
    undeleteMs: 0,
    uid: 0,
    gid: 0,
    permissions: 0o755,
  });
  const random = createRandom(SEED);
  const expected = new Map<string, Expected>();
  let confirmed = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    confirmed += await killedAfter(dataDir, SEED * 10_000 + round, { changes: 1 + random.below(40), laterMs: random.below(30), expected });
    await using open = await openVolume({ dataDir, volumeUuid: volume.uuid, sessionId: 10_000 + round });
    for (const [name, want] of expected) {
      const found = await open.verbs.lookup(ROOT_INO, name);
      if (want === "unknown") continue;
      if (want === "absent") assert.equal(typeof found, "number", `round ${round}: ${name} was removed`);
      else {
        assert.ok(typeof found === "object", `round ${round}: ${name} is gone`);
        const into = Buffer.alloc(want.length + 1);
        assert.equal(await open.files.read(found.ino, 0, into), want.length, `round ${round}: ${name}`);
        assert.ok(into.subarray(0, want.length).equals(contentOf(want.seed, want.length)), `round ${round}: ${name} has other content`);
      }
    }
  }
  assert.ok(confirmed >= ROUNDS, `only ${confirmed} writes were confirmed`);
  assert.deepEqual((await volumes.fsck("v", { data: true, repair: false })).flaws, []);
  assert.equal((await volumes.gc("v", { graceMs: 0, scan: true, quarantine: false })).strangers?.strangers, 0);
  assert.deepEqual((await volumes.fsck("v", { data: true, repair: false })).flaws, []);
});

/** Lets a writer confirm so many changes, kills it a little later, and notes what must be there; how many it confirmed. */
async function killedAfter(
  dataDir: string,
  seed: number,
  { changes, laterMs, expected }: { readonly changes: number; readonly laterMs: number; readonly expected: Map<string, Expected> },
): Promise<number> {
  const args = ["--disable-warning=ExperimentalWarning", WRITER, dataDir, "v", String(seed)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const closed = once(child, "close");
  let confirmed = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const said = JSON.parse(line) as {
      writing?: string;
      removing?: string;
      wrote?: string;
      removed?: string;
      seed?: number;
      length?: number;
    };
    const under = said.writing ?? said.removing;
    if (under !== undefined) expected.set(under, "unknown");
    if (said.wrote !== undefined) expected.set(said.wrote, { seed: said.seed ?? 0, length: said.length ?? 0 });
    if (said.removed !== undefined) expected.set(said.removed, "absent");
    if (under === undefined && ++confirmed === changes) setTimeout(() => child.kill("SIGKILL"), laterMs);
  }
  const [code, signal] = (await closed) as [number | null, string | null];
  assert.equal(signal, "SIGKILL", `the writer ended by itself: ${code}`);
  return confirmed;
}
