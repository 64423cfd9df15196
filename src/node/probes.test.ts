import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLog } from "../base/log.ts";
import { createRegistry } from "../base/metrics.ts";
import { Probes, type ProbePart } from "./probes.ts";
import { startStatusServer } from "./status-server.ts";

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** A status server over these probes, asked for a path. */
async function answers(probes: Probes, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  const pages = {
    registry: createRegistry({ runtime: false }),
    live: () => probes.live(),
    ready: () => probes.ready(),
    status: () => ({}),
  };
  await using server = await startStatusServer({ host: "127.0.0.1", port: 0 }, pages, silentLog);
  const reply = await fetch(`${server.address}${path}`, { headers });
  return { status: reply.status, text: await reply.text() };
}

const partsOf = ({ text }: Answer): Record<string, string> =>
  Object.fromEntries((JSON.parse(text) as { parts: readonly ProbePart[] }).parts.map(({ name, state }) => [name, state]));

test("ready is who has reached all that it waits for, degraded parts included; live it is all the time", async () => {
  const probes = new Probes();
  probes.expect(["piece-store", "socket"]);
  assert.deepEqual(await answers(probes, "/readyz"), { status: 503, text: "not ready: piece-store: not yet; socket: not yet\n" });
  assert.deepEqual(await answers(probes, "/healthz"), { status: 200, text: "ok\n" });
  probes.reached("piece-store", "3 tasks");
  probes.watched("socket", () => ({ state: "degraded", detail: "slow" }));
  assert.deepEqual(await answers(probes, "/readyz"), { status: 200, text: "ready\n" });
  const verbose = await answers(probes, "/readyz?verbose");
  assert.deepEqual(partsOf(verbose), { "piece-store": "ok", socket: "degraded" });
  assert.deepEqual(await answers(probes, "/readyz", { accept: "application/json" }), verbose);
});

test("who drains is not ready but live", async () => {
  const probes = new Probes();
  probes.stopping();
  assert.match((await answers(probes, "/readyz")).text, /^not ready: stopping: /);
  assert.equal((await answers(probes, "/healthz")).status, 200);
});

test("who lost a part for good is neither, says which, and tells those who run it", async () => {
  const probes = new Probes();
  probes.reached("piece-store", "3 tasks");
  assert.equal(probes.broken.aborted, false);
  probes.lost("piece-store", "it stopped");
  assert.deepEqual(await answers(probes, "/healthz"), { status: 503, text: "dead: piece-store: it stopped\n" });
  assert.deepEqual(partsOf(await answers(probes, "/healthz?verbose")), { "event-loop": "ok", "piece-store": "failed" });
  assert.equal((await answers(probes, "/readyz")).status, 503);
  assert.equal(probes.broken.aborted, true);
});
