import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { anaxCommand } from "../../../test/kit/anax.ts";
import { freePort, must, waitFor } from "../../../test/kit/process.ts";
import { RespClient } from "../../../test/store/resp-client.ts";
import { endProcess, pidOf } from "../../kit/process.ts";
import type { ServerName } from "../servers.ts";

/** Two nodes of a cluster; at first one has all slots and the other none. */
export interface Pair extends AsyncDisposable {
  readonly name: ServerName;
  readonly ports: readonly [number, number];
  readonly pids: readonly [number, number];
  /** Moves slots from 0 on to the other node; resolves when they are there. */
  move(slots: number, to: 0 | 1): Promise<void>;
}

/** A node that gives its last slot away is a primary still. */
const STAYS = ["--cluster-allow-replica-migration", "no"];
/** Of a move. */
const MOVE_MS = 300_000;

export async function startPair(name: ServerName, directory: string): Promise<Pair> {
  await using scope = new AsyncDisposableStack();
  const nodes = [
    await startNode(name, `${directory}/0`, directory, scope),
    await startNode(name, `${directory}/1`, directory, scope),
  ] as const;
  const ports = [nodes[0].port, nodes[1].port] as const;
  const [first, second] = [scope.use(await RespClient.connect(ports[0])), scope.use(await RespClient.connect(ports[1]))];
  await ordered(first, "ADDSLOTSRANGE", "0", "16383");
  await ordered(first, "MEET", "127.0.0.1", String(ports[1]));
  for (const node of [first, second])
    await waitFor(async () => /cluster_state:ok[\s\S]*cluster_known_nodes:2/.test(String(await node.call("CLUSTER", "INFO"))));
  const ids = [String(await first.call("CLUSTER", "MYID")), String(await second.call("CLUSTER", "MYID"))] as const;
  const owned = scope.move();
  return {
    name,
    ports,
    pids: [nodes[0].pid, nodes[1].pid],
    async move(slots, to) {
      if (name === "redis") {
        const words = ["--cluster-from", ids[1 - to]!, "--cluster-to", ids[to], "--cluster-slots", String(slots), "--cluster-yes"];
        await must("redis-cli", ["--cluster", "reshard", `127.0.0.1:${ports[0]}`, ...words], { timeoutMs: MOVE_MS });
        return;
      }
      await ordered(to === 0 ? second : first, "MIGRATESLOTS", "SLOTSRANGE", "0", String(slots - 1), "NODE", ids[to]);
      const target = to === 0 ? first : second;
      await waitFor(
        async () => ((await target.call("CLUSTER", "NODES")) as string).includes(`connected 0-${to === 0 ? 16_383 : slots - 1}`),
        MOVE_MS,
      );
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Throws what the node refuses with. */
async function ordered(node: RespClient, ...words: readonly string[]): Promise<void> {
  const answer = await node.call("CLUSTER", ...words);
  if (answer instanceof Error) throw answer;
}

async function startNode(
  name: ServerName,
  dir: string,
  shared: string,
  scope: AsyncDisposableStack,
): Promise<{ readonly port: number; readonly pid: number }> {
  mkdirSync(dir, { recursive: true });
  const port = await freePort();
  const ours = ["save=", "cluster-enabled=yes", `cluster-register=sqlite:${shared}/register.db`].flatMap((value) => ["--set", value]);
  const command =
    name === "redis"
      ? ["redis-server", "--port", String(port), "--save", "", "--appendonly", "no", "--dir", dir, "--cluster-enabled", "yes", ...STAYS]
      : anaxCommand(["store", "--port", String(port), "--data-dir", dir, ...ours, "--json", "--log-level", "warn"]);
  const env = { ...process.env, ANAX_STATUS_STORE_PORT: "0" }; // another store may run on this machine
  const child = spawn(command[0], command.slice(1), { stdio: ["ignore", "ignore", "inherit"], env });
  scope.defer(() => endProcess(child));
  await waitFor(async () => {
    using client = await RespClient.connect(port).catch(() => undefined);
    return (await client?.call("PING").catch(() => undefined)) === "PONG";
  });
  return { port, pid: pidOf(child) };
}
