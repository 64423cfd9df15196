import assert from "node:assert/strict";
import { connect } from "node:http2";
import { test } from "node:test";
import { realClock } from "../../src/base/clock.ts";
import { openChannel } from "../../src/wire/grpc/client.ts";
import { HealthCheckResponse_ServingStatus as Serving, HealthService } from "../../src/wire/grpc/gen/grpc/health/v1/health.ts";
import { startAnax, type AnaxProcess } from "../kit/anax.ts";
import { socketOf } from "../kit/cli.ts";
import { freePort, waitFor } from "../kit/process.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

const END_THREADS = new URL("../kit/end-threads-on-signal.ts", import.meta.url).href;

async function page(daemon: AnaxProcess, path: string): Promise<{ readonly status: number; readonly text: string }> {
  const reply = await fetch(`${daemon.listeners["status"]}${path}`);
  return { status: reply.status, text: await reply.text() };
}

/** By gRPC, as upstream's probes ask, on the socket and on the port for peers. */
async function serving(daemon: AnaxProcess): Promise<readonly Serving[]> {
  const [host = "", port] = daemon.listeners["upload"]!.split(":");
  const addresses = [{ path: socketOf(daemon) }, { host, port: Number(port) }];
  return Promise.all(
    addresses.map(async (address) => {
      using channel = openChannel(address, { clock: realClock });
      return (await channel.unary(HealthService.check, { service: "" }, { timeoutMs: 10_000 })).status;
    }),
  );
}

test("a daemon whose piece database dies is neither live nor ready, over HTTP and gRPC, and says why", async () => {
  await using dir = await temporaryDirectory();
  await using daemon = await startAnax("daemon", { dataDir: dir.path, env: { NODE_OPTIONS: `--import=${END_THREADS}` } });
  assert.equal((await page(daemon, "/healthz")).status, 200);
  assert.deepEqual(await serving(daemon), [Serving.SERVING, Serving.SERVING]);
  daemon.kill("SIGUSR2");
  await waitFor(async () => (await page(daemon, "/healthz")).status === 503);
  assert.match((await page(daemon, "/healthz")).text, /^dead: piece-store: .*the piece database stopped/);
  assert.match((await page(daemon, "/readyz")).text, /^not ready: piece-store: /);
  assert.deepEqual(await serving(daemon), [Serving.NOT_SERVING, Serving.NOT_SERVING]);
});

test("a daemon whose scheduler does not answer is ready all the same, and says that it works alone", async () => {
  await using dir = await temporaryDirectory();
  const args = ["--scheduler", `127.0.0.1:${await freePort()}`];
  await using daemon = await startAnax("daemon", { dataDir: dir.path, args });
  await waitFor(async () => (await page(daemon, "/readyz")).status === 200);
  assert.match((await page(daemon, "/readyz?verbose")).text, /"name":"schedulers","state":"degraded"/);
});

test("who drains is live and not ready while what runs comes to its end", async () => {
  await using dir = await temporaryDirectory();
  await using daemon = await startAnax("up", { dataDir: dir.path });
  await waitFor(async () => (await page(daemon, "/readyz")).status === 200); // it joins its scheduler
  const { parts } = JSON.parse((await page(daemon, "/readyz?verbose")).text) as { parts: readonly { name: string; state: string }[] };
  assert.deepEqual(
    parts.map(({ name, state }) => `${name} ${state}`),
    ["scheduler ok", "piece-store ok", "transfer ok", "upload ok", "socket ok", "proxy ok", "schedulers ok"],
  );
  // A call whose request never comes: the drain waits for it until its deadline.
  const session = connect(`http://${daemon.listeners["upload"]}`);
  session.on("error", () => undefined);
  const call = session.request({
    ":method": "POST",
    ":path": "/grpc.health.v1.Health/Check",
    "content-type": "application/grpc",
    te: "trailers",
  });
  call.on("error", () => undefined);
  await new Promise<void>((resolve) => session.ping(() => resolve())); // it has arrived
  daemon.kill("SIGTERM");
  await waitFor(async () => (await page(daemon, "/readyz")).status === 503);
  assert.match((await page(daemon, "/readyz")).text, /^not ready: .*stopping: /);
  assert.equal((await page(daemon, "/healthz")).status, 200);
  session.destroy();
  assert.equal(await daemon.exited, 0);
});
