import { basename, dirname, join } from "node:path";
import { copyPathOf, type Contestant, type Driver, type Stage } from "./driver.ts";
import { connected } from "../waiting.ts";
import type { Member } from "../../kit/lab/network.ts";
import type { Running } from "../../kit/lab/processes.ts";
import { startOrigin } from "./origin.ts";

export interface AnaxOptions {
  /** The built program. */
  readonly program: string;
  /** Settings for all daemons and the scheduler. */
  readonly set: readonly string[];
  /** Tell `anax get` the sha256 of what it must get. */
  readonly digest: boolean;
}

const SCHEDULER_PORT = 8002;

/** The scheduler stands beside the origin and carries no content; a plain daemon on every host, and no seed. */
export const anax = (name: string, options: AnaxOptions): Driver => ({ name, start: (stage) => start(stage, options) });

async function start(stage: Stage, options: AnaxOptions): Promise<Contestant> {
  const { processes, hosts, origin, content } = stage;
  const url = await startOrigin(stage);
  const command = [process.execPath, "--disable-warning=ExperimentalWarning", options.program];
  const launcher = join(dirname(options.program), "anax"); // as in PATH
  const startScheduler = async (): Promise<Running> => {
    const scheduler = processes.start(origin, "scheduler", [...command, "scheduler", ...serving(`${stage.directory}/scheduler`, options)]);
    await scheduler.line(isReady);
    return scheduler;
  };
  let scheduler = await startScheduler();
  const daemons = hosts.map((host, i) => {
    const place = ["--set", `p2p.daemon.location=rack-${stage.racks[i]}`]; // one rack number per host
    const self = ["--hostname", host.name, "--advertise-ip", host.address, "--scheduler", `${origin.address}:${SCHEDULER_PORT}`];
    return processes.start(host, host.name, [...command, "daemon", ...self, ...place, ...serving(dataOf(stage, host), options)]);
  });
  await Promise.all(daemons.map((daemon) => daemon.line(isReady)));
  await connected(origin, SCHEDULER_PORT, hosts.length);
  await processes.run(origin, "warm", [launcher, "get", "--help"]); // compiles the command once, as it is on any machine in use
  const digest = options.digest ? ["--digest", `sha256:${content.sha256}`] : [];
  const get = (host: Member, path: string, to: string, more: readonly string[]): Promise<void> => {
    const where = ["-O", to, "-e", `${dataOf(stage, host)}/daemon.sock`];
    return processes.run(host, `${host.name}-get`, [
      launcher,
      "get",
      `${url}/${basename(path)}`,
      ...where,
      "--no-progress",
      "--json",
      ...more,
    ]);
  };
  const { warmPath } = content;
  if (warmPath !== undefined) await Promise.all(hosts.map((host) => get(host, warmPath, `${dataOf(stage, host)}-earlier`, [])));
  return {
    get: (host) => get(host, content.path, copyPathOf(stage, host), digest),
    killCoordinator: () => scheduler.kill("SIGKILL"),
    async startCoordinator() {
      scheduler = await startScheduler();
    },
  };
}

const dataOf = (stage: Stage, host: Member): string => `${stage.directory}/data/${host.name}`;

const serving = (dataDir: string, { set }: AnaxOptions): readonly string[] => [
  "--json",
  "--data-dir",
  dataDir,
  ...set.flatMap((setting) => ["--set", setting]),
];

const isReady = (line: string): true | undefined => (line.includes('"ready"') ? true : undefined);
