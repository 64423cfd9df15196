import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Cluster as IoCluster } from "ioredis";
import { createCluster } from "redis";
import { missingPrograms, waitFor } from "../kit/process.ts";
import { startStoreCluster, type StoreCluster, type TestNode } from "../kit/store-cluster.ts";

const [missing] = missingPrograms(["redis-cli"]);
const COUNTERS = 200;
const WRITERS = 8;

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
  });
  cluster.on("error", () => undefined).on("node-error", () => undefined);
  await cluster.connect();
  return { name: "node-redis", increment: (key) => cluster.incr(key), get: (key) => cluster.get(key), end: () => cluster.destroy() };
}

/** Increments counters over and over, and remembers what was acknowledged and what went wrong. */
class Load {
  readonly client: Client;
  readonly acknowledged = new Map<string, number>();
  readonly errors: string[] = [];
  #ends = false;
  #writers: Promise<unknown>;
  count = 0;

  constructor(client: Client, all: Load[]) {
    this.client = client;
    all.push(this);
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

/** The nodes of a shard: who owns its slots now, and another one. */
async function shardOf(cluster: StoreCluster, slot: number): Promise<{ readonly primary: TestNode; readonly replica: TestNode }> {
  const [first] = cluster.nodes as [TestNode];
  const shards = (await first.call("CLUSTER", "SLOTS")) as [number, number, ...[string, number][]][];
  const found = shards.find(([start, end]) => start <= slot && slot <= end)!; // all slots have an owner
  const [primary, replica] = found.slice(2).map((at) => cluster.nodes.find(({ port }) => port === (at as [string, number])[1])!);
  return { primary: primary!, replica: replica! };
}

test("ioredis and node-redis go on through reshards and failovers", { skip: missing }, async (t) => {
  await using cluster = await startStoreCluster({ primaries: 3, replicas: 1 });
  const clients = [ioredis(cluster), await nodeRedis(cluster)];
  t.after(() => clients.map((client) => client.end()));
  const all: Load[] = [];
  t.after(() => Promise.all(all.map((load) => load.end())));
  const begin = (): Load[] => clients.map((client) => new Load(client, all));
  const loads = begin();
  const goOn = async (): Promise<void> => void (await Promise.all(loads.map((load) => load.goesOn())));
  const noErrors = (): void => {
    for (const { client, errors } of loads) assert.deepEqual(errors.slice(0, 5), [], client.name);
  };
  await goOn();

  await t.test("slots go from node to node and back, and no write is lost or made twice", async () => {
    const [first, second] = await Promise.all(cluster.nodes.slice(0, 2).map(idOf));
    for (const [from, to] of [
      [first!, second!],
      [second!, first!],
    ] as const) {
      const moves = ["--cluster-from", from, "--cluster-to", to, "--cluster-slots", "15", "--cluster-yes"];
      await cluster.cli("reshard", cluster.nodes[2]!.address, ...moves);
      await goOn();
    }
    noErrors();
  });

  await t.test("a replica takes over by hand, twice, and no write is lost or made twice", async () => {
    for (let round = 1; round <= 2; round++) {
      const { primary, replica } = await shardOf(cluster, 0);
      await waitFor(async () => (await replica.call("CLUSTER", "FAILOVER")) === "OK");
      await waitFor(async () => (await roleOf(replica)) === "master" && (await roleOf(primary)) === "slave");
      await goOn();
      await waitFor(async () => String(await primary.call("INFO", "replication")).includes("master_link_status:up"));
    }
    noErrors();
    for (const load of loads) await load.end();
    for (const load of loads) await load.compare((value, acknowledged, key) => assert.equal(value, acknowledged, key));
  });

  await t.test("a primary is killed: its replica takes over, and it comes back as a replica", async () => {
    const again = begin();
    const { primary, replica } = await shardOf(cluster, 0);
    await Promise.all(again.map((load) => load.goesOn()));
    await primary.kill();
    await waitFor(async () => (await roleOf(replica)) === "master");
    await primary.start();
    await waitFor(async () => (await roleOf(primary)) === "slave");
    await Promise.all(again.map((load) => load.goesOn()));
    for (const load of again) await load.end();
    const [io, node] = again as [Load, Load];
    assert.deepEqual(io.errors, []);
    // What was under way, or waits for the dead node, node-redis gives back to its caller, whoever the server is; nothing that a server has answered.
    const own = /^(?:SocketClosedUnexpectedlyError|TimeoutError|DisconnectsClientError)|ECONNREFUSED|ECONNRESET/;
    assert.deepEqual(
      node.errors.filter((error) => !own.test(error)),
      [],
    );
  });
});
