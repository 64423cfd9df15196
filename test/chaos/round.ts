import { createRandom } from "../../src/base/random.ts";
import { ClusterCaller, pause } from "./cluster-caller.ts";
import type { ChaosCluster } from "./cluster.ts";
import { isOpen, migrationsOf, until, type ChaosNode, type Shown } from "./node.ts";
import { operate, see, watch } from "./operator.ts";
import { StopTimes } from "./stop-times.ts";
import { heal, troubleProcesses, troubleSurroundings } from "./troubles.ts";
import { Workload } from "./workload.ts";

const CLIENTS = 4;
const SETTLE_MS = 60_000;

export interface Counts {
  answered: number;
  migrations: number;
  cancelled: number;
  kills: number;
  faults: number;
  pauseMsMax: number;
  undecided: number;
}

export interface RoundOutcome {
  readonly violations: readonly string[];
  readonly counts: Readonly<Counts>;
  readonly stopMs: readonly number[];
}

export interface RoundOptions {
  readonly seed: number;
  /** So long things go wrong. */
  readonly ms: number;
  /** Kinds of troubles; none: all of them. */
  readonly only: readonly string[];
  readonly say: (text: string) => void;
}

/** Clients that write to a cluster while slots go round and everything goes wrong, and the judgement. What the clients wrote is gone in the end. */
export class Round {
  readonly nodes: readonly ChaosNode[];
  readonly workload: Workload;
  readonly stopTimes = new StopTimes();
  readonly counts: Counts = { answered: 0, migrations: 0, cancelled: 0, kills: 0, faults: 0, pauseMsMax: 0, undecided: 0 };
  readonly moved: Set<string>;
  readonly say: (text: string) => void;
  readonly only: readonly string[];
  isOver = false;
  readonly #options: RoundOptions;

  constructor({ nodes, moved }: ChaosCluster, options: RoundOptions) {
    this.nodes = nodes;
    this.moved = moved;
    this.say = options.say;
    this.only = options.only;
    this.#options = options;
    this.workload = new Workload(`s${options.seed}`);
  }

  violation(text: string): void {
    this.workload.violations.push(text);
  }

  async run(): Promise<RoundOutcome> {
    const random = createRandom(this.#options.seed);
    const chance = (): ReturnType<typeof createRandom> => createRandom(random.below(2 ** 31));
    const ports = this.nodes.map(({ proxy }) => proxy.port);
    let [clientsStop, areWell] = [false, false];
    const callers = Array.from({ length: CLIENTS }, () => new ClusterCaller(ports, () => clientsStop));
    const load = callers.map((caller) => this.workload.run(caller, chance(), () => clientsStop));
    try {
      const ends = pause(this.#options.ms).then(() => (this.isOver = true));
      await Promise.all([
        operate(this, chance()),
        troubleProcesses(this, chance()),
        troubleSurroundings(this, chance()),
        watch(this),
        ends,
      ]);
      areWell = await heal(this);
      if (areWell) await this.#settle();
    } finally {
      this.isOver = clientsStop = true;
      await Promise.all(load);
    }
    using judge = new ClusterCaller(ports, () => false);
    // Each key of a node that does not answer would be waited for.
    if (areWell) await this.#judgeNodes(await this.workload.judge(judge));
    for (const caller of [...callers, judge]) for (const error of caller.errors) this.violation(`a client saw: ${error}`);
    for (const caller of callers) caller[Symbol.dispose]();
    const { violations, answered, undecided } = this.workload;
    if (violations.length === 0) await this.#empty();
    return { violations, counts: { ...this.counts, answered, undecided }, stopMs: this.stopTimes.all };
  }

  async #settle(): Promise<void> {
    let shown: readonly (readonly Shown[] | undefined)[] = [];
    const isQuiet = await this.#until("no move is under way", async () => {
      shown = (await this.#all(migrationsOf)).map((list) => list?.filter(isOpen));
      return shown.every((list) => list?.length === 0);
    });
    if (!isQuiet) this.violation(`under way: ${JSON.stringify(shown)}`);
    await see(this);
    await this.#until("the cluster serves", async () => (await this.#all((node) => node.isServing())).every(Boolean));
  }

  /** I5: each node has the keys of its slots, and no others. */
  async #judgeNodes(keys: number): Promise<void> {
    let sizes: readonly number[] = [];
    const isTidy = await this.#until("nodes have their own keys only", async () => {
      sizes = await this.#all(async (node) => Number(await node.call("DBSIZE")));
      return sizes.reduce((sum, size) => sum + size, 0) <= keys;
    });
    if (!isTidy) this.violation(`I5: ${sizes.join(" + ")} keys, ${keys} can be read`);
  }

  async #empty(): Promise<void> {
    await this.#until("nodes are empty", async () => (await this.#all((node) => node.call("FLUSHALL"))).every((reply) => reply === "OK"));
  }

  #all<T>(work: (node: ChaosNode) => Promise<T>): Promise<T[]> {
    return Promise.all(this.nodes.map(work));
  }

  async #until(what: string, done: () => Promise<boolean>): Promise<boolean> {
    const isDone = await until(SETTLE_MS, done);
    if (!isDone) this.violation(`stuck: ${what}`);
    return isDone;
  }
}
