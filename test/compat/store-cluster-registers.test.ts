import assert from "node:assert/strict";
import { test } from "node:test";
import { realClock } from "../../src/base/clock.ts";
import { startStore, type RunningStore } from "../../src/kv/start-store.ts";
import { openRegister } from "../../src/register/open-register.ts";
import { freePort, waitFor } from "../kit/process.ts";
import { REGISTER_ENGINES } from "../kit/register-engines.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";
import { RespClient, type Reply } from "../store/resp-client.ts";

const NODE_TIMEOUT_MS = 1500;

async function call(port: number, ...parts: readonly string[]): Promise<Reply> {
  using client = await RespClient.connect(port);
  return await client.call(...parts);
}

for (const { name, lack, prepare } of REGISTER_ENGINES)
  test(`stores are a cluster by a register in ${name}`, { skip: lack() }, async () => {
    await using scope = new AsyncDisposableStack();
    const directory = scope.use(await temporaryDirectory());
    const registerDirectory = scope.use(await temporaryDirectory());
    const engine = await prepare(registerDirectory.path);
    const stop = new AsyncDisposableStack();
    scope.defer(() => stop.disposeAsync());
    stop.use(await engine.run());
    const ports = [await freePort(), await freePort()] as const;
    const start = async (node: 0 | 1): Promise<RunningStore> =>
      startStore({
        port: ports[node],
        dataDir: `${directory.path}/${node}`,
        parameters: { "cluster-enabled": true, "cluster-register": engine.urlOn(engine.port), "cluster-node-timeout": NODE_TIMEOUT_MS },
        openRegister: (url, timeoutMs) => openRegister(url, { clock: realClock, timeoutMs }),
      });
    const first = scope.use(await start(0));
    let second = await start(1);
    scope.defer(() => second[Symbol.asyncDispose]());

    assert.equal(await call(ports[0], "CLUSTER", "ADDSLOTSRANGE", "0", "9999"), "OK");
    assert.equal(await call(ports[1], "CLUSTER", "ADDSLOTSRANGE", "10000", "16383"), "OK");
    assert.equal(await call(ports[1], "CLUSTER", "MEET", "127.0.0.1", String(ports[0])), "OK");
    await waitFor(async () => String(await call(ports[0], "CLUSTER", "INFO")).includes("cluster_state:ok"));
    assert.deepEqual(await call(ports[0], "SET", "foo", "1"), new Error(`MOVED 12182 127.0.0.1:${ports[1]}`));
    assert.equal(await call(ports[1], "SET", "foo", "1"), "OK");

    // What is owned outlives the node, …
    await second[Symbol.asyncDispose]();
    second = await start(1);
    assert.equal(await call(ports[1], "SET", "foo", "2"), "OK");

    // … and without the register nobody serves longer than its lease.
    await stop.disposeAsync();
    await waitFor(async () => String(await call(ports[0], "SET", "bar", "1")).includes("CLUSTERDOWN"));
    await using again = await engine.run();
    void again;
    await waitFor(async () => (await call(ports[0], "SET", "bar", "1")) === "OK");
    assert.equal(first.store.cluster?.node.slotsOf(first.store.cluster.node.id).length, 10_000);
  });
