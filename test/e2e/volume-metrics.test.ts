import assert from "node:assert/strict";
import { closeSync, existsSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { s3DataOf } from "../../src/volume/data/volume-data.ts";
import { aVolumePlace, isMounted, jsonFile, recordsOf, unmountable } from "../kit/mounted-volume.ts";
import { freePort, waitFor } from "../kit/process.ts";
import { BUCKET, BUCKET_ENV } from "../kit/s3-bucket.ts";
import { startBucketServer } from "../kit/s3-bucket-server.ts";

// What a mount tells Prometheus of itself.

Object.assign(process.env, BUCKET_ENV); // mounts inherit it

type Samples = ReadonlyMap<string, number>;

async function samplesOf(address: string): Promise<Samples> {
  const answer = await fetch(`${address}/metrics`, { signal: AbortSignal.timeout(10_000) });
  const lines = (await answer.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
}

const of = (samples: Samples, name: string): number => samples.get(name) ?? 0;

/** Waits until the second in which the figures are told is over. */
async function untilSamples(address: string, holds: (samples: Samples) => boolean): Promise<Samples> {
  let samples: Samples = new Map();
  await waitFor(async () => holds((samples = await samplesOf(address))));
  return samples;
}

test(
  "a mount serves its metrics: operations, bytes, cache, errors, what is dirty, across a restart",
  { skip: unmountable() ?? false },
  async () => {
    await using bucket = await startBucketServer();
    await using place = await aVolumePlace("detach-now", s3DataOf({ url: `s3://${BUCKET}`, endpoint: bucket.endpoint }));
    const port = await freePort();
    const address = `http://127.0.0.1:${port}`;
    await using mount = await place.mount(["-o", `status=127.0.0.1:${port},entry_timeout=0,attr_timeout=0`]);
    const content = Buffer.alloc(1_000_000, "abc");
    writeFileSync(join(place.dir, "f"), content);
    for (let index = 0; index < 3; index++) assert.equal(existsSync(join(place.dir, "missing")), false);
    const fd = openSync(join(place.dir, "open"), "w");
    writeSync(fd, Buffer.alloc(50_000));
    const first = await untilSamples(address, (samples) => of(samples, "anax_mount_dirty_bytes") === 50_000);
    assert.equal(of(first, "anax_mount_written_bytes_total"), 1_050_000);
    assert.equal(of(first, "anax_mount_open_files"), 1);
    assert.ok(of(first, 'anax_mount_errors_total{operation="lookup",code="ENOENT"}') >= 3);
    assert.ok(of(first, 'anax_mount_request_seconds_count{operation="create"}') === 2);
    assert.ok(of(first, 'anax_mount_request_seconds_sum{operation="write"}') > 0);
    const unknown = [...first.keys()].filter((name) => name.startsWith("anax_") && /volume|uuid|ino=|path/.test(name));
    assert.deepEqual(unknown, []);
    closeSync(fd);

    // From the bucket once, from the cache afterwards. The kernel is to ask for all of it: another process serves, which knows nothing.
    const records = recordsOf(place.dataDir, place.dir);
    const { status } = await jsonFile(join(records, "mount.json"));
    assert.equal(status, address);
    process.kill(mount.mountPid(), "SIGKILL");
    await waitFor(async () => isThere(join(place.dir, "f")));
    assert.ok(readFileSync(join(place.dir, "f")).equals(content));
    const second = await untilSamples(address, (samples) => of(samples, "anax_mount_read_bytes_total") >= content.length);
    assert.equal(of(second, "anax_mount_restarts_total"), 1);
    assert.equal(of(second, "anax_mount_written_bytes_total"), 1_050_000); // what the one before had counted
    assert.ok(of(second, 'anax_mount_cache_reads_total{outcome="hit"}') >= 1);
    assert.equal(of(second, "anax_mount_dirty_bytes"), 0);

    assert.equal((await fetch(`${address}/healthz`)).status, 200);
    assert.equal((await fetch(`${address}/readyz`)).status, 200);
    const about = (await (await fetch(address)).json()) as { mount: { dir: string; volumeUuid: string } };
    assert.deepEqual([about.mount.dir, about.mount.volumeUuid], [place.dir, mount.volumeUuid]);

    const taken = await place.anax(["mount", "v", join(place.dir, ".."), "--status", String(port), "--json"]);
    assert.equal((JSON.parse(taken.stderr.trim().split("\n").at(-1)!) as { error: { code: string } }).error.code, "listen.address-in-use");
    const asked = await place.anax(["umount", place.dir, "--json"]);
    assert.equal(asked.code, 0, asked.stderr);
    assert.equal(await mount.exited, 0);
    assert.equal(await isMounted(place.dir), false);
    await assert.rejects(fetch(`${address}/metrics`));
  },
);

function isThere(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
