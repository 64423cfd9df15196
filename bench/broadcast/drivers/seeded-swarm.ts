import { linkSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Stage } from "./driver.ts";
import { TORRENT_FILE, torrentOf } from "./torrent.ts";
import { announceUrl, startTracker, type Tracker } from "./tracker.ts";

/** What any BitTorrent program is given: a torrent, its tracker, and the content under its name for the one that seeds it. */
export interface SeededSwarm {
  readonly torrentPath: string;
  readonly seedDirectory: string;
  readonly tracker: Tracker;
}

export async function prepareSwarm(stage: Stage): Promise<SeededSwarm> {
  const { content, directory } = stage;
  const torrent = await torrentOf(content, announceUrl(stage));
  const torrentPath = join(directory, "content.torrent");
  writeFileSync(torrentPath, torrent.bytes);
  const seedDirectory = join(directory, "seed");
  mkdirSync(seedDirectory);
  linkSync(content.path, join(seedDirectory, TORRENT_FILE));
  return { torrentPath, seedDirectory, tracker: await startTracker(stage, torrent) };
}
