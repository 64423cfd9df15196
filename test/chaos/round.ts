import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createRandom, type Random } from "../../src/base/random.ts";
import { slotOfKey } from "../../src/kv/keyspace/key-slot.ts";
import { freePort } from "../kit/process.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";
import { RespClient, type Reply } from "../store/resp-client.ts";
import { startStoreProcess, type StoreProcess } from "../store/store-process.ts";
import { ClusterCaller, pause, within } from "./cluster-caller.ts";
import { LINK_FAULTS, startProxy, type Proxy } from "./proxy.ts";
import { Workload } from "./workload.ts";

const NODES = 3;
const CLIENTS = 4;
const NODE_TIMEOUT_MS = 2000;
/** The machine that runs the tests may have much else to do: what users get by default is 200. */
const PAUSE_MS = 1000;
const SETTLE_MS = 60_000;
const SLOTS = 16_384;
const EDGES = [
  ...["preparing", "recording", "connecting", "copying", "following", "fencing", "confirming", "deciding", "finished"].map(
    (state) => `source.${state}`,
  ),
  ...["accepting", "staging", "syncing", "confirmed", "promoting", "finished"].map((state) => `target.${state}`),
].flatMap((edge) => [`${edge}.before`, `${edge}.after`]);

export interface RoundOutcome {
  readonly violations: readonly string[];
  readonly answered: number;
  readonly migrations: number;
  readonly cancelled: number;
  readonly kills: number;
  readonly faults: number;
  readonly stopMsMax: number;
  readonly pauseMsMax: number;
  readonly undecided: number;
}

/** A node in a process of its own, behind a proxy. */
class ChaosNode {
  readonly index: number;
  readonly #dir: string;
  readonly #register: string;
  readonly port: number;
  readonly proxy: Proxy;
  process: StoreProcess | undefined;
  id = "";
  stopped = false;

  private constructor(index: number, dir: string, register: string, ports: { readonly port: number; readonly proxy: Proxy }) {
    this.index = index;
    this.#dir = dir;
    this.#register = register;
    this.port = ports.port;
    this.proxy = ports.proxy;
    this.proxy.target = this.port;
  }

  static async make(index: number, directory: string): Promise<ChaosNode> {
    const dir = join(directory, String(index));
    mkdirSync(dir, { recursive: true });
    return new ChaosNode(index, dir, `sqlite:${join(directory, "register.db")}`, { port: await freePort(), proxy: await startProxy() });
  }

  async start(): Promise<void> {
    this.process = await startStoreProcess({
      port: this.port,
      dataDir: this.#dir,
      parameters: {
        "cluster-enabled": true,
        "cluster-register": this.#register,
        "cluster-node-timeout": NODE_TIMEOUT_MS,
        "cluster-announce-port": this.proxy.port,
        "cluster-slot-migration-write-pause-timeout": PAUSE_MS,
        appendonly: true,
        appendfsync: "always",
        save: "",
        "enable-debug-command": "yes",
      },
    });
  }

  async kill(): Promise<void> {
    this.signal("SIGCONT");
    await this.process?.kill();
    this.process = undefined;
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.stopped = signal === "SIGSTOP";
    this.process?.signal(signal);
  }

  /** Past the proxy. Undefined: no answer. */
  async call(...parts: readonly string[]): Promise<Reply | undefined> {
    try {
      using client = await within(3000, RespClient.connect(this.port));
      return await within(3000, client.call(...parts));
    } catch {
      return undefined;
    }
  }
}

interface Shown {
  readonly name: string;
  readonly operation: string;
  readonly phase: string;
  readonly pauseMaxMs: number;
}

async function migrationsOf(node: ChaosNode): Promise<readonly Shown[] | undefined> {
  const reply = await node.call("CLUSTER", "GETSLOTMIGRATIONS");
  if (!Array.isArray(reply)) return undefined;
  return reply.map((one) => {
    const fields = new Map<string, Reply>();
    const list = one as Reply[];
    for (let at = 0; at + 1 < list.length; at += 2) fields.set(String(list[at]), list[at + 1]!);
    const text = (name: string): string => String(fields.get(name));
    return { name: text("name"), operation: text("operation"), phase: text("phase"), pauseMaxMs: Number(fields.get("pause_max_ms")) };
  });
}

const isOpen = ({ phase }: Shown): boolean => !["finished", "cancelled", "failed", "dropped"].includes(phase);

/** One cluster, from its making to its judgement. */
export async function chaosRound(seed: number, options: { readonly ms: number; readonly verbose: boolean }): Promise<RoundOutcome> {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const nodes = await Promise.all(Array.from({ length: NODES }, (_, index) => ChaosNode.make(index, directory.path)));
  for (const node of nodes) scope.use(node.proxy);
  scope.defer(async () => void (await Promise.all(nodes.map((node) => node.kill()))));
  await Promise.all(nodes.map((node) => node.start()));
  const round = new Round(seed, nodes, options.verbose);
  await round.form();
  return await round.run(options.ms);
}

class Round {
  readonly #random: Random;
  readonly #nodes: readonly ChaosNode[];
  readonly #workload = new Workload();
  readonly #verbose: boolean;
  readonly #moved = new Set<string>();
  #stops = false;
  #cancelled = 0;
  #kills = 0;
  #faults = 0;
  #stopMsMax = 0;
  #pauseMsMax = 0;

  constructor(seed: number, nodes: readonly ChaosNode[], verbose: boolean) {
    this.#random = createRandom(seed);
    this.#nodes = nodes;
    this.#verbose = verbose;
  }

  #say(text: string): void {
    if (this.#verbose) console.log(`    ${Math.round(performance.now())} ${text}`);
  }

  /** Makes one cluster of the nodes, each with a third of the slots. */
  async form(): Promise<void> {
    const [first] = this.#nodes;
    for (const node of this.#nodes) {
      node.id = String(await node.call("CLUSTER", "MYID"));
      const [start, end] = [Math.floor((node.index * SLOTS) / NODES), Math.floor(((node.index + 1) * SLOTS) / NODES) - 1];
      if (node !== first) await node.call("CLUSTER", "MEET", "127.0.0.1", String(first!.proxy.port));
      await this.#until("the node belongs to the cluster", async () => String(await first!.call("CLUSTER", "NODES")).includes(node.id));
      const given = await node.call("CLUSTER", "ADDSLOTSRANGE", String(start), String(end));
      if (given !== "OK") throw new Error(`no slots for ${node.index}: ${String(given)}`);
    }
    await this.#until("the cluster is there", async () =>
      (await this.#all(async (node) => String(await node.call("CLUSTER", "INFO")).includes("cluster_state:ok"))).every(Boolean),
    );
  }

  #all<T>(work: (node: ChaosNode) => Promise<T>): Promise<T[]> {
    return Promise.all(this.#nodes.map(work));
  }

  async #until(what: string, done: () => Promise<boolean>): Promise<boolean> {
    const endMs = performance.now() + SETTLE_MS;
    while (!(await done())) {
      if (performance.now() > endMs) {
        this.#workload.violations.push(`stuck: ${what}`);
        return false;
      }
      await pause(50);
    }
    return true;
  }

  async run(ms: number): Promise<RoundOutcome> {
    const ports = this.#nodes.map(({ proxy }) => proxy.port);
    let clientsStop = false;
    const callers = Array.from({ length: CLIENTS }, () => new ClusterCaller(ports, () => clientsStop));
    const load = callers.map((caller, at) => this.#workload.run(caller, createRandom(this.#random.below(2 ** 31) + at), () => clientsStop));
    try {
      await this.#troubles(ms);
      await this.#heal();
    } finally {
      this.#stops = clientsStop = true;
      await Promise.all(load);
    }
    using judge = new ClusterCaller(ports, () => false);
    const keys = await this.#workload.judge(judge);
    await this.#judgeNodes(keys);
    for (const caller of callers) {
      for (const error of caller.errors) this.#workload.violations.push(`a client saw: ${error}`);
      caller[Symbol.dispose]();
    }
    const { violations, answered, undecided } = this.#workload;
    return {
      violations,
      answered,
      undecided,
      migrations: this.#moved.size,
      cancelled: this.#cancelled,
      kills: this.#kills,
      faults: this.#faults,
      stopMsMax: Math.round(this.#stopMsMax),
      pauseMsMax: this.#pauseMsMax,
    };
  }

  async #troubles(ms: number): Promise<void> {
    const ends = pause(ms).then(() => (this.#stops = true));
    await Promise.all([this.#operate(), this.#trouble(), this.#watch(), ends]);
  }

  // --- what an operator does ----------------------------------------------------------------------------------------------------------

  /** Moves slots with keys, mostly from A to B and from B to C at once; cancels some. */
  async #operate(): Promise<void> {
    const random = this.#random;
    while (!this.#stops) {
      await pause(random.below(400));
      const from = random.below(NODES);
      await Promise.all([this.#move(from, (from + 1) % NODES), this.#move((from + 1) % NODES, (from + 2) % NODES)]);
      if (random.below(4) === 0) await this.#cancel(this.#nodes[random.below(NODES)]!);
    }
  }

  async #move(from: number, to: number): Promise<void> {
    const [source, target] = [this.#nodes[from]!, this.#nodes[to]!];
    const owned = new Set(slotsOf(await source.call("CLUSTER", "NODES"), source.id));
    const slots = this.#workload.groups.map(({ tag }) => slotOfKey(tag)).filter((slot) => owned.has(slot));
    if (slots.length === 0) return;
    const first = slots[this.#random.below(slots.length)]!;
    let [start, end] = [first, first];
    const width = this.#random.below(600);
    while (end - start < width && owned.has(end + 1)) end++;
    while (end - start < width && owned.has(start - 1)) start--;
    const reply = await source.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", String(start), String(end), "NODE", target.id);
    this.#say(`move ${start}-${end} ${from} -> ${to}: ${String(reply)}`);
  }

  /** I1: when it is answered, what was not decided is over. */
  async #cancel(node: ChaosNode): Promise<void> {
    const before = (await migrationsOf(node))?.filter(isOpen) ?? [];
    if (before.length === 0) return;
    const startedMs = performance.now();
    if ((await node.call("CLUSTER", "CANCELSLOTMIGRATIONS")) !== "OK") return;
    const stopMs = performance.now() - startedMs;
    const after = await migrationsOf(node);
    if (after === undefined || node.stopped) return;
    this.#cancelled += before.length;
    this.#stopMsMax = Math.max(this.#stopMsMax, stopMs);
    const late = ["deciding", "confirmed", "refusing", "promoting"];
    for (const one of after)
      if (before.some(({ name }) => name === one.name) && isOpen(one) && !late.includes(one.phase))
        this.#workload.violations.push(`I1: ${one.operation} ${one.name} is ${one.phase} after it was cancelled`);
  }

  async #watch(): Promise<void> {
    while (!this.#stops) {
      await this.#see();
      await pause(200);
    }
  }

  async #see(): Promise<void> {
    const shown = await this.#all(migrationsOf);
    for (const one of shown.flatMap((list) => list ?? []))
      if (one.operation === "EXPORT") {
        if (one.phase === "finished") this.#moved.add(one.name);
        this.#pauseMsMax = Math.max(this.#pauseMsMax, one.pauseMaxMs);
      }
  }

  // --- what goes wrong ----------------------------------------------------------------------------------------------------------------

  async #trouble(): Promise<void> {
    const random = this.#random;
    while (!this.#stops) {
      await pause(200 + random.below(900));
      const node = this.#nodes[random.below(NODES)]!;
      this.#faults++;
      switch (random.below(5)) {
        case 0:
          await this.#crash(node);
          break;
        case 1:
          await this.#crashAtEdge(node);
          break;
        case 2:
          this.#say(`stop ${node.index}`);
          node.signal("SIGSTOP");
          await pause(50 + random.below(1500));
          node.signal("SIGCONT");
          break;
        default:
          await this.#spoilLink(node);
      }
    }
  }

  async #crash(node: ChaosNode): Promise<void> {
    this.#say(`kill ${node.index}`);
    this.#kills++;
    await node.kill();
    await pause(this.#random.below(600));
    await this.#startAgain(node);
  }

  async #startAgain(node: ChaosNode): Promise<void> {
    try {
      await node.start();
    } catch (error) {
      this.#workload.violations.push(`node ${node.index} does not start: ${(error as Error).message}`);
    }
  }

  async #crashAtEdge(node: ChaosNode): Promise<void> {
    const edge = EDGES[this.#random.below(EDGES.length)]!;
    if ((await node.call("DEBUG", "MIGRATION-FAILPOINT", edge, "KILL", "1")) !== "OK") return;
    const endMs = performance.now() + 2500;
    while (performance.now() < endMs && !this.#stops) {
      if ((await node.call("PING")) === undefined) {
        this.#say(`killed ${node.index} at ${edge}`);
        this.#kills++;
        await node.kill();
        return this.#startAgain(node);
      }
      await pause(50);
    }
    await node.call("DEBUG", "MIGRATION-FAILPOINT", edge, "KILL", String(2 ** 30));
  }

  async #spoilLink(node: ChaosNode): Promise<void> {
    const kind = LINK_FAULTS[this.#random.below(LINK_FAULTS.length)]!;
    this.#say(`${kind} before ${node.index}`);
    node.proxy.fault(kind, this.#random.below(3) === 0 ? 0 : this.#random.below(20_000));
    await pause(200 + this.#random.below(3500));
    node.proxy.heal();
  }

  // --- the end ------------------------------------------------------------------------------------------------------------------------

  async #heal(): Promise<void> {
    this.#say("heal");
    for (const node of this.#nodes) {
      node.proxy.heal();
      node.signal("SIGCONT");
      if ((await node.call("PING")) !== undefined) continue;
      await node.kill();
      await this.#startAgain(node);
    }
    await this.#until("no move is under way", async () => {
      const all = await this.#all(migrationsOf);
      return all.every((list) => list !== undefined && !list.some(isOpen));
    });
    await this.#see();
    await this.#until("the cluster serves", async () =>
      (await this.#all(async (node) => String(await node.call("CLUSTER", "INFO")).includes("cluster_state:ok"))).every(Boolean),
    );
  }

  /** I5: each node has the keys of its slots, and no others. */
  async #judgeNodes(keys: number): Promise<void> {
    const tidy = await this.#until("nodes have their own keys only", async () => {
      const sizes = await this.#all(async (node) => Number(await node.call("DBSIZE")));
      return sizes.reduce((sum, size) => sum + size, 0) <= keys;
    });
    if (!tidy)
      this.#workload.violations.push(
        `I5: ${(await this.#all(async (node) => Number(await node.call("DBSIZE")))).join(" + ")} keys, ${keys} can be read`,
      );
  }
}

/** Slots of a node by CLUSTER NODES. */
function slotsOf(reply: Reply | undefined, id: string): number[] {
  const line = String(reply)
    .split("\n")
    .find((one) => one.startsWith(id));
  return (line?.trim().split(" ").slice(8) ?? []).flatMap((text) => {
    const match = /^(\d+)(?:-(\d+))?$/.exec(text);
    if (match === null) return [];
    const [start, end] = [Number(match[1]), Number(match[2] ?? match[1])];
    return Array.from({ length: end - start + 1 }, (_, at) => start + at);
  });
}
