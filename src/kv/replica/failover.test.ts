import assert from "node:assert/strict";
import { test } from "node:test";
import { startStore, type RunningStore } from "../start-store.ts";
import { waitFor } from "../../../test/kit/process.ts";
import { RespClient } from "../../../test/store/resp-client.ts";

interface Node extends AsyncDisposable {
  readonly running: RunningStore;
  readonly client: RespClient;
}

async function startNode(): Promise<Node> {
  await using scope = new AsyncDisposableStack();
  const running = scope.use(await startStore({ port: 0 }));
  const client = scope.use(await RespClient.connect(running.port));
  const owned = scope.move();
  return { running, client, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function startPair(): Promise<AsyncDisposable & { readonly primary: Node; readonly replica: Node }> {
  await using scope = new AsyncDisposableStack();
  const primary = scope.use(await startNode());
  const replica = scope.use(await startNode());
  await replica.client.call("REPLICAOF", "127.0.0.1", String(primary.running.port));
  await waitFor(async () => (await fieldOf(primary, "slave0"))?.includes("state=online") === true);
  const owned = scope.move();
  return { primary, replica, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const fieldOf = async ({ client }: Node, name: string): Promise<string | undefined> =>
  new RegExp(`^${name}:(.*)\r$`, "m").exec(String(await client.call("INFO", "replication")))?.[1];

/** No replica says any more how far it is, as if it stood still: `FAILOVER` waits. */
const silence = (node: Node): void => {
  node.running.store.replication!.link!.acknowledge = () => undefined;
};

test("FAILOVER swaps the roles, and no write in between is lost", async () => {
  await using pair = await startPair();
  const { primary, replica } = pair;
  using writer = await RespClient.connect(primary.running.port);
  let acknowledged = 0;
  const writing = (async () => {
    for (;;) {
      const reply = await writer.call("INCR", "counter");
      if (reply instanceof Error) return reply.message;
      acknowledged++;
    }
  })();
  await waitFor(async () => acknowledged > 50);
  assert.equal(await primary.client.call("FAILOVER"), "OK");
  assert.match(await writing, /^READONLY/);
  await waitFor(async () => (await fieldOf(primary, "master_link_status")) === "up");
  assert.equal(await fieldOf(primary, "master_failover_state"), "no-failover");
  assert.equal(await fieldOf(replica, "role"), "master");
  assert.equal(await replica.client.call("GET", "counter"), String(acknowledged));
  assert.match(String(await replica.client.call("INFO", "stats")), /sync_partial_ok:1/);
  await replica.client.call("SET", "after", "1");
  await waitFor(async () => (await primary.client.call("GET", "after")) === "1");
});

test("a failover that cannot be is refused", async () => {
  await using pair = await startPair();
  const { primary, replica } = pair;
  const port = String(replica.running.port);
  const refused: readonly (readonly [Node, readonly string[], RegExp])[] = [
    [replica, ["FAILOVER"], /not valid when server is a replica/],
    [primary, ["FAILOVER", "TO", "elsewhere", port], /is not a replica/],
    [primary, ["FAILOVER", "TO", "127.0.0.1", port, "FORCE"], /requires both a timeout and target/],
    [primary, ["FAILOVER", "FORCE", "TIMEOUT", "100"], /requires both a timeout and target/],
    [primary, ["FAILOVER", "TIMEOUT", "0"], /greater than 0/],
    [primary, ["FAILOVER", "TO", "127.0.0.1"], /syntax error/],
    [primary, ["FAILOVER", "ABORT"], /No failover in progress/],
    [replica, ["PSYNC", "f".repeat(40), "1", "FAILOVER"], /replid must match/],
    [primary, ["PSYNC", "f".repeat(40), "1", "FAILOVER"], /can't be sent to a master/],
  ];
  for (const [node, command, message] of refused) assert.match(String(await node.client.call(...command)), message, command.join(" "));
  await using alone = await startNode();
  assert.match(String(await alone.client.call("FAILOVER")), /requires connected replicas/);
});

test("writes wait during a failover, and go on where it is aborted", async () => {
  await using pair = await startPair();
  const { primary, replica } = pair;
  using writer = await RespClient.connect(primary.running.port);
  silence(replica);
  assert.equal(await primary.client.call("FAILOVER"), "OK");
  assert.equal(await fieldOf(primary, "master_failover_state"), "waiting-for-sync");
  assert.match(String(await primary.client.call("FAILOVER")), /already in progress/);
  assert.match(String(await primary.client.call("REPLICAOF", "127.0.0.1", "1")), /not allowed while failing over/);
  const write = writer.call("SET", "a", "1");
  await waitFor(async () => primary.running.store.paused.size === 1);
  // CLIENT UNPAUSE is about another pause; reads do not wait.
  await primary.client.call("CLIENT", "UNPAUSE");
  assert.equal(await primary.client.call("GET", "a"), null);
  assert.equal(await primary.client.call("FAILOVER", "ABORT"), "OK");
  assert.equal(await write, "OK");
  assert.equal(await fieldOf(primary, "role"), "master");
  await waitFor(async () => (await replica.client.call("GET", "a")) === "1");
});

test("a failover whose target lacks something for too long ends, and writes go on", async () => {
  await using pair = await startPair();
  const { primary, replica } = pair;
  silence(replica);
  assert.equal(await primary.client.call("FAILOVER", "TIMEOUT", "50"), "OK");
  assert.equal(await primary.client.call("SET", "a", "1"), "OK");
  assert.equal(await fieldOf(primary, "master_failover_state"), "no-failover");
  assert.equal(await fieldOf(primary, "role"), "master");
  await waitFor(async () => (await replica.client.call("GET", "a")) === "1");
});

test("a failover with FORCE goes on without what the target lacks", async () => {
  await using pair = await startPair();
  const { primary, replica } = pair;
  silence(replica);
  const to = ["TO", "127.0.0.1", String(replica.running.port)];
  assert.equal(await primary.client.call("FAILOVER", ...to, "TIMEOUT", "50", "FORCE"), "OK");
  await waitFor(async () => (await fieldOf(primary, "master_link_status")) === "up");
  assert.equal(await fieldOf(replica, "role"), "master");
});

test("a failover whose target refuses is aborted: the primary leads on", async () => {
  await using pair = await startPair();
  const { primary, replica } = pair;
  await replica.client.call("ACL", "SETUSER", "default", "-psync");
  assert.equal(await primary.client.call("FAILOVER"), "OK");
  await waitFor(async () => (await fieldOf(primary, "master_failover_state")) === "no-failover");
  assert.equal(await fieldOf(primary, "role"), "master");
  assert.equal(await primary.client.call("SET", "a", "1"), "OK");
  await waitFor(async () => (await replica.client.call("GET", "a")) === "1");
  assert.match(String(await primary.client.call("INFO", "stats")), /sync_full:1\r\nsync_partial_ok:1/);
});

test("a target that leads already, since the answer got lost, is asked again and leads on", async () => {
  await using pair = await startPair();
  const { primary, replica } = pair;
  const before = primary.running.store.replicationId;
  using lost = await RespClient.connect(replica.running.port);
  // As the primary asks, from a connection of which nobody reads the answer.
  void lost.call("PSYNC", before, "1", "FAILOVER").catch(() => undefined);
  await waitFor(async () => (await fieldOf(replica, "role")) === "master");
  assert.match(String(await replica.client.call("PSYNC", before, "999999", "FAILOVER")), /FULLRESYNC/);
});

test("clients that wait for keys are told when the primary becomes a replica", async () => {
  await using first = await startNode();
  using waiting = await RespClient.connect(first.running.port);
  const answer = waiting.call("BLPOP", "list", "0");
  await waitFor(async () => first.running.store.blocked.count === 1);
  await first.client.call("REPLICAOF", "127.0.0.1", "1");
  assert.match(String(await answer), /^Error: UNBLOCKED/);
});
