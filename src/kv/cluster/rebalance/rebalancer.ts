import { AnaxError } from "../../../base/errors.ts";
import { tlsClientOptions } from "../../clients/tls.ts";
import { CommandError } from "../../command-error.ts";
import { SLOT_COUNT } from "../../keyspace/key-slot.ts";
import type { Migrations } from "../../slots/migration/migrations.ts";
import type { Member } from "../members.ts";
import { connectNode, type NodeAddress, type NodeClient } from "../node-client.ts";
import type { Cluster } from "../start-cluster.ts";
import { FailedMoves } from "./failed-moves.ts";
import { beginMove, limitsOf } from "./limits.ts";
import { planMoves, type PlannedMove } from "./plan.ts";
import { bytesOf, placementOf, parseReport, reportOf, type Report } from "./report.ts";
import { Turn, type TurnRecord } from "./turn.ts";
import { readWeights, WEIGHT_DEFAULT } from "./weights.ts";

/** How often it looks: while slots move, and while they do not. */
const ROUND_MS = 500;
const IDLE_MS = 3000;

type Outcome = Pick<TurnRecord, "active" | "state">;

/** Has slots moved until each node has its share, where `cluster-rebalance` says so: one node does it for all, and another one goes on when that is gone. */
export class Rebalancer implements AsyncDisposable {
  readonly #cluster: Cluster;
  readonly #migrations: Migrations;
  readonly #turn: Turn;
  readonly #failures: FailedMoves;
  readonly #clients = new Map<string, NodeClient>();
  /** Since when a node has been a primary that could get slots. */
  readonly #sinceMs = new Map<string, number>();
  readonly #ends = new AbortController();
  readonly #loop: Promise<void>;
  #nextMs = -Infinity;
  #complained = "";

  constructor(cluster: Cluster, migrations: Migrations) {
    this.#cluster = cluster;
    this.#migrations = migrations;
    this.#turn = new Turn(cluster.node.register, cluster.node.id);
    this.#failures = new FailedMoves((slot) => cluster.node.ownerOf(slot));
    this.#loop = this.#run();
  }

  get #nowMs(): number {
    return this.#cluster.node.store.clock.nowMs();
  }

  async #run(): Promise<void> {
    const { clock } = this.#cluster.node.store;
    const { signal } = this.#ends;
    const isOver = (): Promise<boolean> => clock.sleep(ROUND_MS, signal).then(() => false, () => true); // prettier-ignore
    while (!(await isOver())) {
      try {
        await this.#round();
        this.#complained = "";
      } catch (error) {
        this.#failed(error);
      }
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof AnaxError)) throw error;
    if (this.#complained !== error.message) this.#cluster.node.log.warn("store.cluster-rebalance-failed", { error });
    this.#complained = error.message;
  }

  async #round(): Promise<void> {
    const { node, keeper } = this.#cluster;
    this.#watchPrimaries();
    const serves = this.#nowMs < node.servesUntilMs;
    if (!node.store.parameters["cluster-rebalance"] || !serves || this.#sinceMs.size < 2) return this.#rest();
    if (!(await this.#turn.take(node.self.cluster, keeper.lengthMs, keeper.nowMs))) return this.#hangUp();
    if (this.#nowMs < this.#nextMs) return;
    const before = this.#turn.record;
    const outcome = await this.#plan();
    if (outcome.active !== before.active)
      node.log.info(outcome.active ? "store.cluster-rebalance-began" : "store.cluster-rebalance-ended", { state: outcome.state });
    await this.#turn.tell(outcome, keeper.nowMs);
    this.#nextMs = this.#nowMs + (outcome.active ? 0 : IDLE_MS);
  }

  async #rest(): Promise<void> {
    this.#hangUp();
    await this.#turn.leave(this.#cluster.keeper.nowMs);
  }

  #watchPrimaries(): void {
    const primaries = new Set(this.#primaries.map(({ id }) => id));
    for (const id of this.#sinceMs.keys()) if (!primaries.has(id)) this.#sinceMs.delete(id);
    for (const id of primaries) if (!this.#sinceMs.has(id)) this.#sinceMs.set(id, this.#nowMs);
  }

  get #primaries(): readonly Member[] {
    const { known, failed } = this.#cluster.node;
    return known.filter(({ id, primary }) => primary === "" && !failed.has(id));
  }

  /** Who owns slots, and who has been there for a while without: a node that has just come may be about to become a replica. */
  get #takers(): readonly Member[] {
    const { node } = this.#cluster;
    const delayMs = node.store.parameters["cluster-rebalance-delay"] * 1000;
    const owners = new Set(node.map.ranges.map(({ owner }) => owner));
    return this.#primaries.filter(({ id }) => owners.has(id) || this.#nowMs - (this.#sinceMs.get(id) ?? Infinity) >= delayMs);
  }

  async #plan(): Promise<Outcome> {
    const { node, keeper } = this.#cluster;
    const { active } = this.#turn.record;
    const waits = (reason: string): Outcome => ({ active, state: `waits: ${reason}` });
    const gone = node.map.ranges.find(({ owner }) => node.failed.has(owner));
    if (gone !== undefined) return waits(`node ${gone.owner} has slots and no lease`);
    const limits = limitsOf(node.store.parameters);
    const takers = this.#takers;
    const reports = await this.#reports(takers, limits.by === "bytes");
    if (typeof reports === "string") return waits(reports);
    const classic = [...reports].find(([, report]) => report.classic);
    if (classic !== undefined) return waits(`slots of node ${classic[0]} are on their way by CLUSTER SETSLOT`);
    await keeper.look(); // what has moved is in the map
    const weights = await readWeights(node.register, node.self.cluster);
    const seen = placementOf(
      Array.from({ length: SLOT_COUNT }, (_, slot) => node.ownerOf(slot)),
      new Map(takers.map(({ id, shard }) => [id, weights[shard] ?? WEIGHT_DEFAULT])),
      reports,
    );
    const { moving } = seen;
    const resting = this.#failures.after(moving, this.#nowMs);
    const placement = { ...seen, resting };
    let plan = planMoves(placement, limits, active);
    if (plan.moves.length > 0 && limits.by === "slots") {
      const loads = await this.#reports(takers, true); // only what a move is made of needs them
      if (typeof loads === "string") return waits(loads);
      plan = planMoves({ ...placement, bytes: bytesOf(loads) }, limits, active);
    }
    for (const move of plan.moves) await this.#begin(move);
    const count = moving.length + plan.moves.length;
    if (count > 0) return { active: true, state: `moves under way: ${count}` };
    if (!plan.held) return { active: false, state: "balanced" };
    const [behind = ""] = seen.closed ?? [];
    const reason =
      resting.size > 0 ? "a move has failed, and is tried again later" : `replicas of node ${behind} have not got everything yet`;
    return { active: true, state: `waits: ${reason}` };
  }

  /** Of each of them; or why there are none. */
  async #reports(members: readonly Member[], withLoads: boolean): Promise<ReadonlyMap<string, Report> | string> {
    const { node } = this.#cluster;
    const reports = new Map<string, Report>();
    let problem = "";
    const ask = async (member: Member): Promise<void> => {
      try {
        reports.set(
          member.id,
          member.id === node.id
            ? reportOf(node, this.#migrations, withLoads)
            : parseReport(String(await this.#call(member, ["CLUSTER", "REBALANCE", "REPORT", ...(withLoads ? [] : ["MOVES"])]))),
        );
      } catch (error) {
        if (!(error instanceof AnaxError)) throw error;
        problem = `node ${member.id}: ${error.message}`.slice(0, 300);
      }
    };
    await Promise.all(members.map(ask));
    return problem || reports;
  }

  /** The node that has the slots looks at it once more, and moves them. */
  async #begin(move: PlannedMove): Promise<void> {
    const { node } = this.#cluster;
    if (!this.#turn.holds(this.#nowMs)) return;
    const source = node.member(move.from);
    if (source === undefined) return;
    this.#failures.begun(move);
    node.log.info("store.cluster-rebalance-moves", { from: move.from, to: move.to, ranges: move.ranges.length });
    try {
      if (source.id === node.id) this.#migrations.moveAll([move]);
      else await beginMove((...parts) => this.#call(source, parts), move);
    } catch (error) {
      if (!(error instanceof AnaxError || error instanceof CommandError)) throw error;
      node.log.warn("store.cluster-rebalance-refused", { from: move.from, to: move.to, reason: error.message });
    }
  }

  /** Over a connection that is kept until it fails. */
  async #call(member: Member, parts: readonly string[]): Promise<unknown> {
    const client = this.#clients.get(member.id) ?? (await connectNode(addressOf(this.#cluster, member)));
    this.#clients.set(member.id, client);
    try {
      return await client.call(...parts);
    } catch (error) {
      client[Symbol.dispose]();
      this.#clients.delete(member.id);
      throw error;
    }
  }

  #hangUp(): void {
    for (const client of this.#clients.values()) client[Symbol.dispose]();
    this.#clients.clear();
    this.#failures.clear();
    this.#nextMs = -Infinity;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ends.abort();
    await this.#loop;
    await this.#rest().catch((error: unknown) => this.#failed(error));
  }
}

function addressOf({ node }: Cluster, { host, port, tlsPort }: Member): NodeAddress {
  const { parameters } = node.store;
  const secure = parameters["tls-replication"] && tlsPort !== 0;
  const url = new URL(`${secure ? "rediss" : "redis"}://${host.includes(":") ? `[${host}]` : host}:${secure ? tlsPort : port}`);
  url.username = encodeURIComponent(parameters.masteruser);
  url.password = encodeURIComponent(parameters.masterauth);
  return { url: url.href, ...(secure && { tls: tlsClientOptions(parameters) }) };
}
