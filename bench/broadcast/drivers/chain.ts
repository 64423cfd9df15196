import { copyPathOf, type Contestant, type Driver, type Stage } from "./driver.ts";
import { serving } from "../waiting.ts";

/**
 * Every host passes on what it receives to the next one. That is no product, since one slow or dead host stops all behind it: it shows
 * what the network and this machine allow when nothing is to be decided.
 */
export const chain: Driver = { name: "chain", start };

const PORT = 7000;
const HOST_PROGRAM = [process.execPath, "--disable-warning=ExperimentalWarning", new URL("chain-host.ts", import.meta.url).pathname];

async function start(stage: Stage): Promise<Contestant> {
  const { processes, hosts, origin, content } = stage;
  const first = processes.start(origin, "origin", [...HOST_PROGRAM, `${PORT}`, content.path]);
  await serving(first, origin, PORT);
  const links = hosts.map((host, i) => {
    const before = hosts[i - 1] ?? origin;
    const last = i === hosts.length - 1 ? ["last"] : [];
    const process = processes.start(host, host.name, [...HOST_PROGRAM, `${PORT}`, copyPathOf(stage, host), before.address, ...last]);
    return { host, process };
  });
  await Promise.all(links.map(({ host, process }) => serving(process, host, PORT)));
  return {
    async get(host) {
      const { process } = links.find((link) => link.host === host)!; // every host has one
      process.write("go\n");
      await process.line((line) => line === "done" || undefined);
    },
    killCoordinator() {}, // it has none
    startCoordinator: () => Promise.resolve(),
  };
}
