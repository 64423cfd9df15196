import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ReadSums } from "../../src/volume/data/peers/read-counts.ts";
import type { Warmed } from "../../src/volume/lifecycle/warm-volume.ts";
import { unmountable, VOLUME, type MountedVolume } from "../kit/mounted-volume.ts";
import { must } from "../kit/process.ts";
import { BUCKET_ENV } from "../kit/s3-bucket.ts";
import { startVolumeHosts, type VolumeHost, type VolumeHosts } from "../kit/volume-hosts.ts";

const skip = unmountable() ?? false;
const MIB = 1024 * 1024;
const BYTES = 24 * MIB;

Object.assign(process.env, BUCKET_ENV); // mounts and commands inherit it

const sha256 = async (path: string): Promise<string> => (await must("sha256sum", [path])).slice(0, 64);

/** Only a peer that fails, and not a busy machine, makes a mount ask the store besides. */
const PATIENT = "1m";

describe("a volume in a bucket, mounted on hosts with daemons", { skip }, () => {
  const scope = new AsyncDisposableStack();
  const digests = new Map<string, string>();
  let cluster: VolumeHosts;

  before(async () => {
    cluster = scope.use(await startVolumeHosts(3, PATIENT));
    await using alone = await cluster.mountAlone();
    for (const name of ["together", "damaged", "killed", "warm"]) {
      const content = randomBytes(BYTES);
      digests.set(name, createHash("sha256").update(content).digest("hex"));
      writeFileSync(join(alone.dir, name), content);
    }
  });
  after(() => scope.disposeAsync());

  /** Reads a file at once on all of the mounts; what the store has given meanwhile, in times of the file. */
  async function read(mounts: readonly MountedVolume[], name: string, meanwhile: () => void = () => undefined): Promise<number> {
    const { givenBytes } = await cluster.bucket.order({});
    const reading = Promise.all(mounts.map(({ dir }) => sha256(join(dir, name))));
    meanwhile();
    for (const found of await reading) assert.equal(found, digests.get(name));
    return ((await cluster.bucket.order({})).givenBytes - givenBytes) / BYTES;
  }

  const stats = async (): Promise<ReadSums> =>
    (JSON.parse((await cluster.place.anax(["volume", "stats", VOLUME, "--json"])).stdout) as { reads: ReadSums }).reads;

  const warmup = async ({ cacheDir, socket }: VolumeHost, ...args: readonly string[]) => {
    const own = ["--cache-dir", cacheDir, "--endpoint", socket, "--peer-wait", PATIENT, "--no-progress", "--json"];
    const { code, stdout, stderr } = await cluster.place.anax(["volume", "warmup", VOLUME, ...args, ...own]);
    return { code, warmed: code === 0 ? (JSON.parse(stdout) as Warmed) : undefined, stderr };
  };

  test("reads the store once when all read a file at once, and says where it came from", async () => {
    await mounted(cluster.hosts, async (mounts) => assert.equal(await read(mounts, "together"), 1));
    const { peerBytes, storeBytes, hedges } = await stats();
    assert.deepEqual([peerBytes, storeBytes, hedges], [2 * BYTES, BYTES, 0]);
  });

  test("never sees bytes that a daemon's disk has damaged", async () => {
    const [host] = cluster.hosts;
    await mounted([host!], async (mounts) => assert.equal(await read(mounts, "damaged"), 1));
    for (const path of contentFilesOf(host!)) damage(path);
    rmSync(host!.cacheDir, { recursive: true });
    await mounted([host!], async (mounts) => assert.ok((await read(mounts, "damaged")) > 0));
  });

  test("warmup brings a path here once, from peers, and it is read when the store and the daemon are gone", async () => {
    const [one, two] = cluster.hosts;
    const first = await warmup(one!, "/warm");
    assert.deepEqual([first.warmed?.storeBytes, first.warmed?.doneBytes], [BYTES, BYTES], first.stderr);
    const second = await warmup(two!, "warm");
    assert.deepEqual([second.warmed?.peerBytes, second.warmed?.storeBytes, second.warmed?.cachedBytes], [BYTES, 0, 0], second.stderr);
    const again = await warmup(two!, "/warm");
    assert.equal(again.warmed?.cachedBytes, BYTES, "nothing is fetched again");
    await cluster.bucket.order({ fault: "reset" });
    await mounted([two!], async ([mount]) => assert.equal(await sha256(join(mount!.dir, "warm")), digests.get("warm")));
    await cluster.bucket.order({});
    assert.equal((await warmup(two!, "/nothing")).code, 2);
  });

  // The last: it ends daemons.
  test("is read to the end where daemons are killed in the middle, and where there is none", async () => {
    const [one, two, three] = cluster.hosts;
    await mounted([one!, two!, three!], async (mounts) => {
      await read(mounts, "killed", () => two!.daemon.kill("SIGKILL"));
    });
    rmSync(two!.cacheDir, { recursive: true });
    await mounted([two!], async (mounts) => {
      assert.equal(await read(mounts, "killed"), 1);
    });
    assert.ok((await stats()).peerFailures > 0);
  });
});

async function mounted(hosts: readonly VolumeHost[], use: (mounts: readonly MountedVolume[]) => Promise<void>): Promise<void> {
  await using mounts = new AsyncDisposableStack();
  await use(await Promise.all(hosts.map(async (host) => mounts.use(await host.mount()))));
}

/** Where a daemon keeps content. */
const contentFilesOf = ({ daemon }: VolumeHost): readonly string[] =>
  readdirSync(daemon.dataDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /^[0-9a-f]{64}$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));

/** A bit in the middle. */
function damage(path: string): void {
  const content = readFileSync(path);
  content[statSync(path).size >> 1]! ^= 1; // not empty
  writeFileSync(path, content);
}
