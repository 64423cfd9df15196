import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { ParameterValues } from "../../src/kv/parameters/parameters.ts";
import { RespClient, type Reply } from "../store/resp-client.ts";
import { startStoreProcess, type StoreProcess } from "../store/store-process.ts";
import { freePort, must, waitFor } from "./process.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** Short enough for a test, long enough for a machine with much else to do. */
export const NODE_TIMEOUT_MS = 3000;

/** A node of a cluster, in a process of its own, with its own data directory and one port for ever. */
export interface TestNode {
  readonly port: number;
  readonly address: string;
  call(...parts: readonly string[]): Promise<Reply>;
  process(): StoreProcess;
  /** As a power cut; `start` brings it back. */
  kill(): Promise<void>;
  start(): Promise<void>;
}

export interface StoreCluster extends AsyncDisposable {
  readonly nodes: readonly TestNode[];
  /** `redis-cli --cluster …`, saying yes; rejects where it fails. */
  cli(...args: readonly string[]): Promise<string>;
  /** One more that knows nobody. */
  add(): Promise<TestNode>;
}

/** Nodes that share a register and are not met yet. */
export async function startStoreNodes(count: number, parameters: Partial<ParameterValues> = {}): Promise<StoreCluster> {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const nodes: TestNode[] = [];
  let made = 0;
  const add = async (): Promise<TestNode> => {
    const node = await startNode(join(directory.path, String(made++)), {
      "cluster-register": `sqlite:${join(directory.path, "register.db")}`,
      "cluster-node-timeout": NODE_TIMEOUT_MS,
      ...parameters,
    });
    nodes.push(node);
    return node;
  };
  scope.defer(async () => void (await Promise.all(nodes.map((node) => node.kill()))));
  await Promise.all(Array.from({ length: count }, add));
  const owned = scope.move();
  return {
    nodes,
    add,
    cli: (...args) => must("redis-cli", ["--cluster", ...args], { timeoutMs: 120_000, input: "yes\n".repeat(10) }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function startNode(dataDir: string, parameters: Partial<ParameterValues>): Promise<TestNode> {
  const port = await freePort();
  mkdirSync(dataDir, { recursive: true });
  const start = (): Promise<StoreProcess> =>
    startStoreProcess({ port, dataDir, parameters: { "cluster-enabled": true, appendonly: true, appendfsync: "no", ...parameters } });
  let process = await start();
  return {
    port,
    address: `127.0.0.1:${port}`,
    process: () => process,
    async call(...parts) {
      using client = await RespClient.connect(port);
      return await client.call(...parts);
    },
    kill: () => process.kill(),
    async start() {
      process = await start();
    },
  };
}

/** A cluster with so many primaries that share all slots, and so many replicas for each. */
export async function startStoreCluster(
  shape: { readonly primaries: number; readonly replicas: number },
  parameters: Partial<ParameterValues> = {},
): Promise<StoreCluster> {
  await using scope = new AsyncDisposableStack();
  const cluster = scope.use(await startStoreNodes(shape.primaries * (1 + shape.replicas), parameters));
  await cluster.cli(
    "create",
    ...cluster.nodes.map(({ address }) => address),
    "--cluster-replicas",
    String(shape.replicas),
    "--cluster-yes",
  );
  await waitFor(async () => (await Promise.all(cluster.nodes.map(isReady))).every(Boolean));
  const owned = scope.move();
  return { ...cluster, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** It serves, and has the data of its primary if it has one. */
async function isReady(node: TestNode): Promise<boolean> {
  const [info, replication] = [String(await node.call("CLUSTER", "INFO")), String(await node.call("INFO", "replication"))];
  return info.includes("cluster_state:ok") && !replication.includes("master_link_status:down");
}
