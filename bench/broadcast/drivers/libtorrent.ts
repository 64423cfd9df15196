import { linkSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { copyPathOf, type Contestant, type Driver, type Stage } from "./driver.ts";
import type { Member } from "../../kit/lab/network.ts";
import type { Running } from "../../kit/lab/processes.ts";
import { announceUrl, startTracker } from "./tracker.ts";
import { TORRENT_FILE, torrentOf } from "./torrent.ts";

/** Debian's own Python: its package of libtorrent is for no other. */
const HOST_PROGRAM = ["/usr/bin/python3", new URL("libtorrent-host.py", import.meta.url).pathname];

/** libtorrent-rasterbar, the engine of qBittorrent and Deluge: a session on every host before the clock runs, as a daemon would be. */
export const libtorrent: Driver = { name: "libtorrent", start };

async function start(stage: Stage): Promise<Contestant> {
  const { processes, hosts, origin, content, directory } = stage;
  const torrent = await torrentOf(content, announceUrl(stage));
  const torrentPath = join(directory, "content.torrent");
  writeFileSync(torrentPath, torrent.bytes);
  const seed = join(directory, "seed");
  mkdirSync(seed);
  linkSync(content.path, join(seed, TORRENT_FILE));
  const tracker = await startTracker(stage, torrent);
  const startHost = (member: Member, name: string, where: string, role: string): Running =>
    processes.start(member, name, [...HOST_PROGRAM, member.address, torrentPath, where, role]);
  await startHost(origin, "seed", seed, "seed").line(isWord("ready"));
  await tracker.knowsSeed();
  const peers = new Map(hosts.map((host) => [host, startHost(host, host.name, dirname(copyPathOf(stage, host)), "peer")]));
  await Promise.all([...peers.values()].map((peer) => peer.line(isWord("ready"))));
  return {
    async get(host) {
      const peer = peers.get(host)!; // every host has one
      peer.write("go\n");
      await peer.line(isWord("done"));
    },
    killCoordinator: () => tracker.kill(),
    startCoordinator: () => tracker.start(),
  };
}

const isWord = (word: string) => (line: string) => line === word || undefined;
