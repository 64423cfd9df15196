import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { startNetwork, type Member, type Network } from "../../bench/kit/lab/network.ts";
import type { AnaxProcess } from "../kit/anax.ts";
import { waitFor } from "../kit/process.ts";
import { CannotHost, type Incident } from "./incident.ts";
import { aDaemon, anax, aScene, aScheduler, demand, fetched, MIB, slay, urlOf, type Scene } from "./scene.ts";

const FILE = { bytes: 32 * MIB, seed: 13 };
const BOUND_SECONDS = 20;
const GIGABIT = 1e9;
/** The content takes A some seconds to send. */
const SLOW = 64e6;

/** Machines with networks of their own, each on one switch; a member's processes are started `via` its network. */
interface Lab {
  readonly scene: Scene;
  readonly network: Network;
  readonly schedulers: readonly string[];
  daemon(name: "a" | "b" | "c" | "d"): Promise<AnaxProcess>;
  /** Takes A off the network, or back. */
  link(state: "up" | "down"): Promise<void>;
}

export const PARTITIONS: readonly Incident[] = [
  {
    name: "holder-partitioned",
    fault: "A's link is down, C has it too; later A's link is up again and C is gone",
    async run(scope) {
      const lab = await aLab(scope);
      const [, c] = [await holder(lab, "a"), await holder(lab, "c")];
      const b = await lab.daemon("b");
      const sent = sentSince(lab.scene);
      await lab.link("down");
      const seconds = await fetched(lab.scene, b, "/file");
      demand(sent() === 0, `the origin sent ${sent()} bytes`);
      demand(seconds < BOUND_SECONDS, `it took ${seconds.toFixed(1)} s`);
      await lab.link("up");
      await Promise.all([b, c].map(slay));
      const healed = await getsFromPeers(lab, await lab.daemon("d"));
      demand(sent() === 0, `the origin sent ${sent()} bytes`);
      return { recoverSeconds: seconds, originBytes: sent(), note: `A served again ${healed.toFixed(1)} s after its link` };
    },
  },
  {
    name: "only-holder-partitioned",
    fault: "A's link is down, nobody else has it",
    async run(scope) {
      const lab = await aLab(scope);
      await holder(lab, "a");
      const b = await lab.daemon("b");
      const sent = sentSince(lab.scene);
      await lab.link("down");
      const seconds = await fetched(lab.scene, b, "/file");
      demand(sent() <= FILE.bytes * 1.1, `the origin sent ${sent()} bytes`);
      demand(seconds < BOUND_SECONDS, `it took ${seconds.toFixed(1)} s`);
      return { recoverSeconds: seconds, originBytes: sent() };
    },
  },
  {
    name: "holder-partitioned-midway",
    fault: "A's link goes down while B downloads from it; up again later, and B is gone",
    async run(scope) {
      const lab = await aLab(scope);
      await holder(lab, "a");
      const b = await lab.daemon("b");
      const sent = sentSince(lab.scene);
      const getting = fetched(lab.scene, b, "/file");
      void getting.catch(() => undefined); // it is awaited later
      await sleep(1500);
      await lab.link("down");
      const cutMs = performance.now();
      await getting;
      const seconds = (performance.now() - cutMs) / 1000;
      const originBytes = sent();
      demand(originBytes > 0 && originBytes <= FILE.bytes, `the origin sent ${originBytes} bytes`);
      demand(seconds < BOUND_SECONDS, `it took ${seconds.toFixed(1)} s`);
      await lab.link("up");
      await slay(b);
      const healed = await getsFromPeers(lab, await lab.daemon("d"));
      demand(sent() === originBytes, `the origin sent ${sent() - originBytes} bytes more`);
      return { recoverSeconds: seconds, originBytes, note: `A served again ${healed.toFixed(1)} s after its link` };
    },
  },
];

const NAMES = ["a", "b", "c", "d", "scheduler"] as const;

async function aLab(scope: AsyncDisposableStack): Promise<Lab> {
  const local = await aScene(scope, { "/file": FILE });
  const plan = {
    hosts: NAMES.map((name) => ({ upBits: name === "a" ? SLOW : GIGABIT, downBits: GIGABIT, rack: 0 })),
    origin: { upBits: GIGABIT, downBits: GIGABIT },
    delayMs: 0,
    lossShare: 0,
  };
  const network = await startNetwork(plan, local.dir).catch((thrown: unknown) => {
    throw new CannotHost(`no networks of their own can be made: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  });
  scope.use(network);
  const scene = { ...local, url: await originIn(scope, local, network.origin) };
  const memberOf = (name: (typeof NAMES)[number]): Member => network.hosts[NAMES.indexOf(name)]!; // one for each name
  const at = memberOf("scheduler");
  const schedulers = [(await aScheduler(scope, scene, 0, { via: inside(at), set: { "scheduler.listenHost": at.address } })).address];
  return {
    scene,
    network,
    schedulers,
    daemon(name) {
      const { address } = memberOf(name);
      const set = { "p2p.daemon.listenHost": address, "p2p.daemon.advertiseIp": address };
      return aDaemon(scope, scene, name, { schedulers, set, via: inside(memberOf(name)) });
    },
    link: (state) => network.setLink(memberOf("a"), state),
  };
}

/** Makes the origin of this process reachable in a member's network; how it is called there. */
async function originIn(scope: AsyncDisposableStack, { dir, origin }: Scene, member: Member): Promise<Scene["url"]> {
  const path = join(dir, "origin.sock");
  const door = createServer((outside) => {
    const inner = connect(origin.port, "127.0.0.1");
    outside.on("error", () => inner.destroy()).pipe(inner);
    inner.on("error", () => outside.destroy()).pipe(outside);
  });
  door.listen(path);
  await once(door, "listening");
  scope.use(door);
  const [program, ...args] = inside(member);
  const forwarder = [process.execPath, new URL("forward-process.ts", import.meta.url).pathname, member.address, path];
  const child = spawn(program, [...args, ...forwarder], { stdio: ["ignore", "pipe", "inherit"] });
  scope.defer(() => void child.kill("SIGKILL"));
  const first = await createInterface(child.stdout)[Symbol.asyncIterator]().next();
  demand(first.done !== true, "the origin's forwarder ended");
  return (at) => `http://${member.address}:${first.value}${at}`;
}

const inside = ({ namespace }: Member): readonly [string, ...string[]] => ["nsenter", `--net=/run/netns/${namespace}`, "--"];

async function holder(lab: Lab, name: "a" | "c"): Promise<AnaxProcess> {
  const daemon = await lab.daemon(name);
  await fetched(lab.scene, daemon, "/file");
  return daemon;
}

function sentSince({ origin }: Scene): () => number {
  const before = origin.totals().bytesSent;
  return () => origin.totals().bytesSent - before;
}

/** Seconds until a host that asks again and again has all from peers alone. */
async function getsFromPeers({ scene }: Lab, daemon: AnaxProcess): Promise<number> {
  const startedMs = performance.now();
  const output = join(scene.dir, `${daemon.pid}-healed`);
  const arrives = async (): Promise<boolean> =>
    (await anax(daemon, ["get", urlOf(scene, "/file"), "-O", output, "--overwrite", "--disable-back-to-source"])).code === 0;
  await waitFor(arrives, BOUND_SECONDS * 1000);
  return (performance.now() - startedMs) / 1000;
}
