import { chmodSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { copyPathOf, type Contestant, type Driver, type Stage } from "./driver.ts";
import { serving } from "../waiting.ts";
import { prepareSwarm } from "./seeded-swarm.ts";

const PORT = 6881;
const COMPLETE = "complete";

/** As many peers as there are, everything but the tracker's way of finding them off, memory instead of a slow disk's caution. */
const OPTIONS = [
  "--no-conf",
  `--listen-port=${PORT}`,
  "--enable-dht=false",
  "--bt-enable-lpd=false",
  "--disable-ipv6=true",
  "--bt-max-peers=0",
  "--bt-request-peer-speed-limit=1000M", // else it is content with few peers once it is fast
  "--seed-ratio=0.0", // whoever is done goes on sending
  "--file-allocation=none",
  "--disk-cache=64M",
  "--summary-interval=0",
  "--show-console-readout=false",
  "--console-log-level=warn",
];

/** aria2 at the origin as the seed, and one started on every host. */
export const aria2: Driver = { name: "aria2", start };

async function start(stage: Stage): Promise<Contestant> {
  const { processes, origin, directory } = stage;
  const { torrentPath, seedDirectory, tracker } = await prepareSwarm(stage);
  const hook = join(directory, "complete.sh");
  writeFileSync(hook, `#!/bin/sh\necho ${COMPLETE}\n`);
  chmodSync(hook, 0o755);
  const seeding = processes.start(origin, "seed", ["aria2c", ...OPTIONS, "--bt-seed-unverified=true", "-d", seedDirectory, torrentPath]);
  await serving(seeding, origin, PORT);
  await tracker.knowsSeed();
  return {
    async get(host) {
      const where = ["-d", dirname(copyPathOf(stage, host))];
      const started = processes.start(host, host.name, ["aria2c", ...OPTIONS, `--on-bt-download-complete=${hook}`, ...where, torrentPath]);
      await started.line((line) => line === COMPLETE || undefined);
    },
    killCoordinator: () => tracker.kill(),
    startCoordinator: () => tracker.start(),
  };
}
