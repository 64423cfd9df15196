import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { sha256OfFile } from "../../test/kit/terminal.ts";
import { openAccount, type Account } from "../kit/lab/account.ts";
import { watchMachine, type MachineUse } from "../kit/lab/machine.ts";
import { startNetwork, type Member, type Network, type WireBytes } from "../kit/lab/network.ts";
import { createProcesses } from "../kit/lab/processes.ts";
import { takeTurn } from "../kit/lab/turn.ts";
import { cpuSecondsOf } from "../kit/process.ts";
import { boundsOf, type Bounds } from "./bound.ts";
import { copyPathOf, type Content, type Contestant, type Driver, type Stage } from "./drivers/driver.ts";
import { planOf, type Plan, type Scenario } from "./scenario.ts";

/** What one run of one driver through one scenario gave. */
export interface Race {
  readonly bounds: Bounds;
  /** Seconds of each host from its own start, and from the start of all; undefined for those that were killed. */
  readonly hosts: readonly (HostTime | undefined)[];
  readonly wire: WireBytes;
  readonly cpuSeconds: number;
  readonly delayCpuSeconds: number;
  readonly machine: MachineUse;
  readonly peakResidentBytes: number;
}

export interface HostTime {
  readonly ownSeconds: number;
  readonly atSeconds: number;
}

export interface RaceOptions {
  readonly content: Content;
  /** Gets the logs of all processes. */
  readonly logs: string | undefined;
  readonly keep: boolean;
  readonly signal: AbortSignal;
  /** Somebody else measures on this machine. */
  readonly onWait: () => void;
}

const MEMORY = "/dev/shm";
const SETTLE_MS = 500;
const LIMIT_BOUNDS = 6;
const LIMIT_EXTRA_MS = 60_000;

export async function race(scenario: Scenario, driver: Driver, options: RaceOptions): Promise<Race> {
  const plan = planOf(scenario);
  const bounds = boundsOf(scenario, plan);
  await using scope = new AsyncDisposableStack();
  scope.use(await takeTurn({ signal: options.signal, onWait: options.onWait }));
  const directory = await mkdtemp(join(MEMORY, "anax-broadcast-"));
  scope.defer(() => (options.keep ? console.error(`kept: ${directory}`) : rm(directory, { recursive: true, force: true, maxRetries: 5 })));
  const logDirectory = join(directory, "logs");
  await mkdir(logDirectory);
  scope.defer(async () => {
    if (options.logs !== undefined) await cp(logDirectory, join(options.logs, `${scenario.name}-${driver.name}`), { recursive: true });
  });
  const account = scope.use(openAccount(`anax-lab-${process.pid}-${driver.name}`));
  const network = scope.use(
    await startNetwork(
      {
        hosts: plan.hosts,
        origin: { upBits: plan.originUpBits, downBits: plan.originDownBits },
        ...(plan.coreBits === undefined ? {} : { coreBits: plan.coreBits }),
        delayMs: scenario.delayMs,
        lossShare: scenario.lossShare ?? 0,
      },
      directory,
    ),
  );
  const processes = scope.use(createProcesses(logDirectory, account));
  const { hosts, origin } = network;
  const stage: Stage = { hosts, origin, racks: plan.hosts.map(({ rack }) => rack), content: options.content, processes, directory };
  for (const host of hosts) await mkdir(join(directory, "copies", host.name), { recursive: true });
  const contestant = await abortable(driver.start(stage), options.signal);
  await sleep(SETTLE_MS, undefined, { signal: options.signal });
  const measured = await run(scenario, { plan, bounds, network, account, contestant, signal: options.signal });
  const peakResidentBytes = processes.peakResidentBytes();
  await processes[Symbol.asyncDispose](); // leaves the cores to what follows
  for (const [i, host] of hosts.entries())
    if (measured.hosts[i] !== undefined && (await sha256OfFile(copyPathOf(stage, host))) !== options.content.sha256)
      throw new Error(`the copy of ${host.name} is not what the origin has`);
  return { ...measured, bounds, peakResidentBytes };
}

interface Course {
  readonly plan: Plan;
  readonly bounds: Bounds;
  readonly network: Network;
  readonly account: Account;
  readonly contestant: Contestant;
  readonly signal: AbortSignal;
}

async function run(scenario: Scenario, course: Course): Promise<Omit<Race, "bounds" | "peakResidentBytes">> {
  const { plan, bounds, network, account, contestant } = course;
  const over = new AbortController();
  const wireBefore = await network.wireBytes();
  const cpuBefore = account.cpuSeconds();
  const delayCpu = (): number => (network.delayPid === undefined ? 0 : cpuSecondsOf(network.delayPid));
  const delayBefore = delayCpu();
  const machine = watchMachine();
  const startedMs = performance.now();
  const limitMs = bounds.lastSeconds * 1000 * LIMIT_BOUNDS + LIMIT_EXTRA_MS;
  const limit = setTimeout(() => over.abort(new Error(`not all hosts had the content after ${Math.round(limitMs / 1000)} s`)), limitMs);
  const signal = AbortSignal.any([over.signal, course.signal]);
  try {
    const disturbed = disturb(scenario, course, signal);
    const got = Promise.all(
      network.hosts.map(async (host, i) => {
        const { joinMs, dies } = plan.hosts[i]!; // the network was built from it
        return time(host, { contestant, joinMs, dies, startedMs, signal });
      }),
    );
    const hosts = await abortable(Promise.race([got, disturbed.then(() => got)]), signal);
    const wireAfter = await network.wireBytes();
    return {
      hosts,
      wire: {
        fromOrigin: wireAfter.fromOrigin - wireBefore.fromOrigin,
        fromAll: wireAfter.fromAll - wireBefore.fromAll,
        intoRacks: wireAfter.intoRacks - wireBefore.intoRacks,
      },
      cpuSeconds: account.cpuSeconds() - cpuBefore,
      delayCpuSeconds: delayCpu() - delayBefore,
      machine: machine.stop(),
    };
  } finally {
    clearTimeout(limit);
    over.abort();
    machine.stop();
  }
}

async function time(
  host: Member,
  {
    contestant,
    joinMs,
    dies,
    startedMs,
    signal,
  }: { contestant: Contestant; joinMs: number; dies: boolean; startedMs: number; signal: AbortSignal },
): Promise<HostTime | undefined> {
  if (joinMs > 0) await sleep(joinMs, undefined, { signal });
  const ownMs = performance.now();
  const got = contestant.get(host);
  if (dies) return void got.catch(() => {}); // whatever becomes of it
  await got;
  const endMs = performance.now();
  return { ownSeconds: (endMs - ownMs) / 1000, atSeconds: (endMs - startedMs) / 1000 };
}

/** What happens to the hosts and the scheduler on the way; over when nothing more will happen or the run is over. */
async function disturb(scenario: Scenario, course: Course, signal: AbortSignal): Promise<void> {
  try {
    await Promise.all([killHosts(scenario, course, signal), killCoordinator(scenario, course, signal)]);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function killHosts({ deaths }: Scenario, { plan, bounds, network }: Course, signal: AbortSignal): Promise<void> {
  if (deaths === undefined) return;
  await sleep(bounds.lastSeconds * deaths.atBoundShare * 1000, undefined, { signal });
  const dying = network.hosts.filter((_, i) => plan.hosts[i]!.dies); // the network was built from it
  await Promise.all(dying.map((host) => network.killAll(host)));
}

async function killCoordinator({ outage }: Scenario, { bounds, contestant }: Course, signal: AbortSignal): Promise<void> {
  if (outage === undefined) return;
  await sleep(bounds.lastSeconds * outage.atBoundShare * 1000, undefined, { signal });
  contestant.killCoordinator();
  await sleep(outage.lastsMs, undefined, { signal });
  await contestant.startCoordinator();
}

/** The promise, or the signal's reason when that comes first. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
