import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { commandIn } from "../../kit/lab/command.ts";
import type { Running } from "../../kit/lab/processes.ts";
import { serving, until } from "../waiting.ts";
import type { Stage } from "./driver.ts";
import type { Torrent } from "./torrent.ts";

/** opentracker at the origin: it names the peers to each other and carries no content. */
export interface Tracker {
  kill(): void;
  start(): Promise<void>;
  /** Resolves once somebody who has everything has announced himself. */
  knowsSeed(): Promise<void>;
}

const PORT = 6969;

export const announceUrl = ({ origin }: Stage): string => `http://${origin.address}:${PORT}/announce`;

export async function startTracker(stage: Stage, { infoHash }: Torrent): Promise<Tracker> {
  const { origin, processes } = stage;
  const directory = join(stage.directory, "tracker");
  mkdirSync(directory);
  writeFileSync(join(directory, "whitelist"), `${infoHash.toString("hex").toUpperCase()}\n`); // Debian's build serves no others
  const port = `${PORT}`;
  const argv = ["opentracker", "-i", origin.address, "-p", port, "-P", port, "-d", directory, "-w", "/whitelist"]; // it makes that its root
  let tracker: Running | undefined;
  const start = async (): Promise<void> => {
    tracker = processes.start(origin, "tracker", argv);
    await serving(tracker, origin, PORT);
  };
  await start();
  const scrape = `http://${origin.address}:${PORT}/scrape?info_hash=${percentEncoded(infoHash)}`;
  return {
    start,
    kill: () => tracker?.kill("SIGKILL"),
    knowsSeed: () =>
      until("the tracker knows the seed", async () =>
        /8:completei[1-9]/.test(await commandIn(origin.namespace, "curl", ["-s", "-m", "5", scrape])),
      ),
  };
}

const percentEncoded = (bytes: Buffer): string => [...bytes].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
