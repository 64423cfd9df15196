import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { s3DataOf } from "../../src/volume/data/volume-data.ts";
import { startAnax, type AnaxProcess } from "./anax.ts";
import { socketOf } from "./cli.ts";
import { aVolumePlace, type MountedVolume, type VolumePlace } from "./mounted-volume.ts";
import { BUCKET } from "./s3-bucket.ts";
import { startBucketServer, type BucketServer } from "./s3-bucket-server.ts";

/** What a host of a cluster has: a daemon, and mounts with a cache that no other host has. */
export interface VolumeHost {
  readonly daemon: AnaxProcess;
  readonly socket: string;
  readonly cacheDir: string;
  mount(): Promise<MountedVolume>;
}

export interface VolumeHosts extends AsyncDisposable {
  readonly bucket: BucketServer;
  readonly place: VolumePlace;
  readonly hosts: readonly VolumeHost[];
  /** One that asks nobody but the bucket, with a cache of its own. */
  mountAlone(): Promise<MountedVolume>;
}

/** A scheduler, and so many hosts on this machine that share a volume in a bucket. `peerWait`: see the mount option. */
export async function startVolumeHosts(count: number, peerWait: string): Promise<VolumeHosts> {
  await using scope = new AsyncDisposableStack();
  const bucket = scope.use(await startBucketServer());
  const place = scope.use(await aVolumePlace("detach-now", s3DataOf({ url: `s3://${BUCKET}`, endpoint: bucket.endpoint, peers: true })));
  const below = (name: string): string => join(place.dir, "..", name);
  const scheduler = scope.use(await startAnax("scheduler", { dataDir: below("scheduler") }));
  const mountAt = async (name: string, args: readonly string[]): Promise<MountedVolume> => {
    const dir = below(`${name}-mount`);
    await mkdir(dir, { recursive: true });
    // A busy machine is not to look like a store that does not answer.
    return place.mount(
      ["-o", `operation_timeout=5m,hang_timeout=1m,peer_wait=${peerWait},cache_dir=${below(`${name}-cache`)}`, ...args],
      dir,
    );
  };
  const hostOf = async (index: number): Promise<VolumeHost> => {
    const name = `host${index}`;
    const set = { "p2p.daemon.schedulers": JSON.stringify([scheduler.listeners["scheduler"]]), "p2p.daemon.hostname": name };
    const daemon = scope.use(await startAnax("daemon", { dataDir: below(name), set }));
    const socket = socketOf(daemon);
    const mount = (): Promise<MountedVolume> => mountAt(name, ["--set", `p2p.daemon.socketPath=${socket}`]);
    return { daemon, socket, cacheDir: below(`${name}-cache`), mount };
  };
  const hosts = await Promise.all(Array.from({ length: count }, (_, index) => hostOf(index)));
  const owned = scope.move();
  return { bucket, place, hosts, mountAlone: () => mountAt("alone", []), [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
