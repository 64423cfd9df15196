import { randomBytes } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { must } from "../../test/kit/process.ts";
import { BUCKET_ENV } from "../../test/kit/s3-bucket.ts";
import { startVolumeHosts } from "../../test/kit/volume-hosts.ts";

// Hosts of one machine, each with a daemon, a mount and a cache of its own, read one file of a volume in a bucket at once: how often the bucket gives it, and how long that
// takes. With a short `--peer-wait` a machine that is too small for so many hosts
// makes them ask the store besides.

const { values } = parseArgs({
  options: {
    hosts: { type: "string", default: "4" },
    mib: { type: "string", default: "128" },
    "peer-wait": { type: "string", default: "2s" },
  },
});
const [hosts, mib] = [Number(values.hosts), Number(values.mib)];
const MIB = 1024 * 1024;

Object.assign(process.env, BUCKET_ENV); // mounts inherit it

await using cluster = await startVolumeHosts(hosts, values["peer-wait"]);
await using scope = new AsyncDisposableStack();
{
  await using alone = await cluster.mountAlone();
  const fd = openSync(join(alone.dir, "file"), "w");
  for (let written = 0; written < mib; written++) writeSync(fd, randomBytes(MIB));
  closeSync(fd);
}
const mounts = await Promise.all(cluster.hosts.map(async (host) => scope.use(await host.mount())));
const { givenBytes } = await cluster.bucket.order({});
const startedMs = performance.now();
const digests = await Promise.all(mounts.map(({ dir }) => must("sha256sum", [join(dir, "file")])));
const seconds = (performance.now() - startedMs) / 1000;
const after = await cluster.bucket.order({});
console.log(
  JSON.stringify({
    hosts,
    mib,
    seconds: Number(seconds.toFixed(2)),
    mibPerSecond: Math.round((hosts * mib) / seconds),
    storeReads: Number(((after.givenBytes - givenBytes) / (mib * MIB)).toFixed(3)),
    same: new Set(digests.map((line) => line.slice(0, 64))).size === 1,
  }),
);
