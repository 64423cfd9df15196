import { dirname } from "node:path";
import { copyPathOf, type Contestant, type Driver, type Stage } from "./driver.ts";
import type { Member } from "../../kit/lab/network.ts";
import type { Running } from "../../kit/lab/processes.ts";
import { prepareSwarm } from "./seeded-swarm.ts";

/** Debian's own Python: its package of libtorrent is for no other. */
const HOST_PROGRAM = ["/usr/bin/python3", new URL("libtorrent-host.py", import.meta.url).pathname];

/** libtorrent-rasterbar, the engine of qBittorrent and Deluge: a session on every host before the clock runs, as a daemon would be. */
export const libtorrent: Driver = { name: "libtorrent", start };

async function start(stage: Stage): Promise<Contestant> {
  const { processes, hosts, origin } = stage;
  const { torrentPath, seedDirectory, tracker } = await prepareSwarm(stage);
  const startHost = (member: Member, name: string, where: string, role: string): Running =>
    processes.start(member, name, [...HOST_PROGRAM, member.address, torrentPath, where, role]);
  await startHost(origin, "seed", seedDirectory, "seed").line(isWord("ready"));
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
