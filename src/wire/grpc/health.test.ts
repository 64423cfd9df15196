import assert from "node:assert/strict";
import { test } from "node:test";
import { HealthCheckResponse_ServingStatus as Serving, HealthService } from "./gen/grpc/health/v1/health.ts";
import { serve, unbounded } from "./grpc-fixture.ts";
import { Health } from "./health.ts";

const options = { timeoutMs: 10_000 };

test("a service is as healthy as it was last set, and an unknown one is an error", async () => {
  const health = new Health();
  await using served = await serve([health.service]);
  const check = (service: string) => served.channel.unary(HealthService.check, { service }, options);
  await assert.rejects(check("a.A"), { code: "rpc.not-found", details: { service: "a.A" } });
  health.set("a.A", "serving");
  health.set("", "serving");
  assert.deepEqual(await check("a.A"), { status: Serving.SERVING });
  health.set("a.A", "not-serving");
  assert.deepEqual(await check("a.A"), { status: Serving.NOT_SERVING });
  assert.deepEqual(await served.channel.unary(HealthService.list, {}, options), {
    statuses: { "": { status: Serving.SERVING }, "a.A": { status: Serving.NOT_SERVING } },
  });
});

test("a watcher is told at once, at every change, and that is all", async () => {
  const health = new Health();
  await using served = await serve([health.service]);
  const watch = served.channel.serverStream(HealthService.watch, { service: "a.A" }, { signal: unbounded() });
  const next = async () => ((await watch.next()).value as { status: Serving }).status;
  assert.equal(await next(), Serving.SERVICE_UNKNOWN);
  health.set("other", "serving");
  health.set("a.A", "serving");
  assert.equal(await next(), Serving.SERVING);
  health.set("a.A", "serving");
  health.setAll("not-serving");
  assert.equal(await next(), Serving.NOT_SERVING);
  await watch.return(undefined);
});

test("a watcher does not hold up a server that stops", async () => {
  const health = new Health();
  const served = await serve([health.service]);
  const watch = served.channel.serverStream(HealthService.watch, { service: "" }, { signal: unbounded() });
  assert.equal((await watch.next()).done, false);
  const stopped = served.server[Symbol.asyncDispose]();
  assert.equal((await watch.next()).done, true);
  await stopped;
  await served[Symbol.asyncDispose]();
});
