import assert from "node:assert/strict";
import { test } from "node:test";
import { realClock } from "../../src/base/clock.ts";
import { openChannel } from "../../src/wire/grpc/client.ts";
import { HealthCheckResponse_ServingStatus as Serving, HealthService } from "../../src/wire/grpc/gen/grpc/health/v1/health.ts";
import { startAnax, type AnaxProcess } from "../kit/anax.ts";
import { aDesk, socketOf } from "../kit/cli.ts";
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
  const MIB = 1024 * 1024;
  await using desk = await aDesk({ content: { "/slow": { bytes: 9 * MIB, seed: 1 } }, faults: { "/slow": { stallAfterBytes: 5 * MIB } } });
  const { parts } = JSON.parse((await page(desk.daemon, "/readyz?verbose")).text) as { parts: readonly { name: string; state: string }[] };
  assert.deepEqual(
    parts.map(({ name, state }) => `${name} ${state}`),
    ["scheduler ok", "piece-store ok", "transfer ok", "upload ok", "socket ok", "proxy ok", "schedulers ok"],
  );
  const running = desk.get("/slow", "slow");
  await desk.origin.until(() => desk.origin.stats("/slow").bytesSent >= 5 * MIB);
  let last: Awaited<ReturnType<typeof page>> | undefined;
  let live = 0;
  desk.daemon.kill("SIGTERM");
  // It answers for as long as it drains, which may be a moment.
  for (;;) {
    const [readyz, healthz] = await Promise.all([page(desk.daemon, "/readyz"), page(desk.daemon, "/healthz")]).catch(() => []);
    if (readyz === undefined || healthz === undefined) break;
    last = readyz;
    live = healthz.status;
  }
  assert.match(last?.text ?? "", /^not ready: .*stopping: /);
  assert.equal(live, 200);
  await running;
});
