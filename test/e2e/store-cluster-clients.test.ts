import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Cluster as IoCluster } from "ioredis";
import { createCluster } from "redis";
import { missingPrograms, waitFor } from "../kit/process.ts";
import { startStoreCluster, type StoreCluster, type TestNode } from "../kit/store-cluster.ts";

const [missing] = missingPrograms(["redis-cli"]);
const COUNTERS = 200;
const WRITERS = 8;
const MOVES = 20;
const SLOTS_OF_A_MOVE = 300;
const FAILOVERS = 5;

/** What a client library does for this test. */
interface Client {
  readonly name: string;
  increment(key: string): Promise<unknown>;
  get(key: string): Promise<string | null>;
  end(): unknown;
}

function ioredis({ nodes }: StoreCluster): Client {
  const cluster = new IoCluster(
    nodes.slice(0, 3).map(({ port }) => ({ host: "127.0.0.1", port })),
    { maxRedirections: 200, clusterRetryStrategy: () => 50 },
  ).on("error", () => undefined);
  return { name: "ioredis", increment: (key) => cluster.incr(key), get: (key) => cluster.get(key), end: () => cluster.disconnect() };
}

async function nodeRedis({ nodes }: StoreCluster): Promise<Client> {
  const cluster = createCluster({
    rootNodes: nodes.slice(0, 3).map(({ port }) => ({ url: `redis://127.0.0.1:${port}` })),
    defaults: { socket: { reconnectStrategy: 50 } },
    maxCommandRedirections: 200,
    // Otherwise it closes the connection to whoever is a replica now, and fails what is under way there, whoever the server is.
    useReplicas: true,
  });
  cluster.on("error", () => undefined).on("node-error", () => undefined);
  await cluster.connect();
  const get = async (key: string): Promise<string> => String(await cluster.incrBy(key, 0)); // of the primary
  return { name: "node-redis", increment: (key) => cluster.incr(key), get, end: () => cluster.destroy() };
}

/** Increments counters over and over, and remembers what was acknowledged and what went wrong. */
class Load {
  readonly client: Client;
  readonly acknowledged = new Map<string, number>();
  readonly errors: string[] = [];
  #ends = false;
  #writers: Promise<unknown>;
  count = 0;

  constructor(client: Client) {
    this.client = client;
    this.#writers = Promise.all(Array.from({ length: WRITERS }, (_, writer) => this.#write(writer)));
  }

  async #write(writer: number): Promise<void> {
    for (let n = writer; !this.#ends; n += WRITERS) {
      const key = `${this.client.name}:${n % COUNTERS}`;
      try {
        await this.client.increment(key);
        this.acknowledged.set(key, (this.acknowledged.get(key) ?? 0) + 1);
        this.count++;
      } catch (error) {
        this.errors.push(`${(error as Error).constructor.name}: ${(error as Error).message}`);
        await sleep(20);
      }
      await sleep(1);
    }
  }

  /** So many more are acknowledged by then: the load goes on. */
  async goesOn(): Promise<void> {
    const until = this.count + 2 * COUNTERS;
    await waitFor(async () => this.count >= until);
  }

  async end(): Promise<void> {
    this.#ends = true;
    await this.#writers;
  }

  /** Each counter against what was acknowledged. */
  async compare(check: (value: number, acknowledged: number, key: string) => void): Promise<void> {
    for (const [key, acknowledged] of this.acknowledged) check(Number(await this.client.get(key)), acknowledged, key);
  }
}

const idOf = async (node: TestNode): Promise<string> => String(await node.call("CLUSTER", "MYID"));
const roleOf = async (node: TestNode): Promise<string> => /role:(\w+)/.exec(String(await node.call("INFO", "replication")))?.[1] ?? "";

/** Slots, who owns them now, and another node of that shard. */
interface Shard {
  readonly start: number;
  readonly end: number;
  readonly primary: TestNode;
  readonly replica: TestNode;
}

async function shardsOf({ nodes }: StoreCluster): Promise<readonly Shard[]> {
  const shards = (await nodes[0]!.call("CLUSTER", "SLOTS")) as [number, number, ...[string, number][]][];
  return shards.map(([start, end, ...at]) => {
    const [primary, replica] = at.map(([, listens]) => nodes.find(({ port }) => port === listens)!);
    return { start, end, primary: primary!, replica: replica! };
  });
}

const shardOf = async (cluster: StoreCluster, slot: number): Promise<Shard> =>
  (await shardsOf(cluster)).find(({ start, end }) => start <= slot && slot <= end)!; // all slots have an owner

/** Moves the first slots of a shard to another one. */
async function moveSome(cluster: StoreCluster, round: number): Promise<void> {
  const shards = await shardsOf(cluster);
  const { start, end, primary } = shards[round % shards.length]!;
  const targets = shards.map((shard) => shard.primary).filter((node) => node !== primary);
  const target = targets[round % targets.length]!; // there are three primaries
  const last = String(Math.min(end, start + SLOTS_OF_A_MOVE - 1));
  const to = await idOf(target);
  // Who has just got them is refused for a moment: the move by which they came is not yet put away.
  await waitFor(async () => (await primary.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", String(start), last, "NODE", to)) === "OK");
  await waitFor(async () => (await shardOf(cluster, start)).primary === target);
}

/** One of each library; they end with the test. */
async function startLoads(t: TestContext, cluster: StoreCluster): Promise<readonly Load[]> {
  const clients = [ioredis(cluster), await nodeRedis(cluster)];
  t.after(() => clients.map((client) => client.end()));
  const loads = clients.map((client) => new Load(client));
  t.after(() => Promise.all(loads.map((load) => load.end())));
  await goOn(loads);
  return loads;
}

const goOn = async (loads: readonly Load[]): Promise<void> => void (await Promise.all(loads.map((load) => load.goesOn())));

test("ioredis and node-redis go on through reshards, moves of slots and failovers", { skip: missing }, async (t) => {
  // On a busy machine nobody is taken for dead before somebody is, and no pause ends before it is over: node-redis does not know what to do with TRYAGAIN.
  const parameters = { "cluster-node-timeout": 15_000, "cluster-slot-migration-write-pause-timeout": 2000 };
  await using cluster = await startStoreCluster({ primaries: 3, replicas: 1 }, parameters);
  const loads = await startLoads(t, cluster);
  const noErrors = (): void => {
    for (const { client, errors } of loads) assert.deepEqual(errors.slice(0, 5), [], client.name);
  };
  await goOn(loads);

  await t.test("slots go from node to node and back, and no write is lost or made twice", async () => {
    const [first, second] = await Promise.all(cluster.nodes.slice(0, 2).map(idOf));
    for (const [from, to] of [
      [first!, second!],
      [second!, first!],
    ] as const) {
      const moves = ["--cluster-from", from, "--cluster-to", to, "--cluster-slots", "15", "--cluster-yes"];
      await cluster.cli("reshard", cluster.nodes[2]!.address, ...moves);
      await goOn(loads);
    }
    noErrors();
  });

  await t.test(`slots move ${MOVES} times, and no write is lost or made twice`, async () => {
    for (let round = 0; round < MOVES; round++) await moveSome(cluster, round);
    await goOn(loads);
    noErrors();
  });

  await t.test(`replicas take over by hand, ${FAILOVERS} times, and no write is lost or made twice`, async () => {
    for (let round = 0; round < FAILOVERS; round++) {
      const { primary, replica } = await shardOf(cluster, Math.floor((round * 16_384) / FAILOVERS));
      await waitFor(async () => (await replica.call("CLUSTER", "FAILOVER")) === "OK");
      await waitFor(async () => (await roleOf(replica)) === "master" && (await roleOf(primary)) === "slave");
      await goOn(loads);
      await waitFor(async () => String(await primary.call("INFO", "replication")).includes("master_link_status:up"));
    }
    noErrors();
    for (const load of loads) await load.end();
    for (const load of loads) await load.compare((value, acknowledged, key) => assert.equal(value, acknowledged, key));
  });
});

test(
  "a primary is killed: ioredis and node-redis go on when its replica has taken over, and it comes back as a replica",
  { skip: missing },
  async (t) => {
    await using cluster = await startStoreCluster({ primaries: 3, replicas: 1 });
    const loads = await startLoads(t, cluster);
    const { primary, replica } = await shardOf(cluster, 0);
    await goOn(loads);
    await primary.kill();
    await waitFor(async () => (await roleOf(replica)) === "master");
    await primary.start();
    await waitFor(async () => (await roleOf(primary)) === "slave");
    await goOn(loads);
    for (const load of loads) await load.end();
    const [io, node] = loads as [Load, Load];
    assert.deepEqual(io.errors, []);
    // What was under way, or waits for the dead node, node-redis gives back to its caller, whoever the server is; nothing that a server has answered.
    const own = /^(?:SocketClosedUnexpectedlyError|TimeoutError|DisconnectsClientError)|ECONNREFUSED|ECONNRESET/;
    assert.deepEqual(
      node.errors.filter((error) => !own.test(error)),
      [],
    );
  },
);
