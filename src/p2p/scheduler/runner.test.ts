import assert from "node:assert/strict";
import { test } from "node:test";
import type { Log, LogFields } from "../../base/log.ts";
import { createRegistry } from "../../base/metrics.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { Download } from "../../wire/grpc/gen/common/v2/common.ts";
import type { HostId, TaskId } from "../model/ids.ts";
import { SchedulerConfig } from "./config.ts";
import { schedulerMetricsOf } from "./metrics.ts";
import { SchedulerRunner } from "./runner.ts";
import { hostFacts, idOf, TASK, FOUR_PIECES } from "./step-fixture.ts";

const ignore = (): void => undefined;
const triggerSeed = () => () => Promise.resolve(undefined);

/** A runner without streams: what it counts and what it logs. */
function aRunner(scope: AsyncDisposableStack, settings: object = {}) {
  const clock = new VirtualClock();
  const registry = createRegistry({ runtime: false });
  const warnings: (readonly [string, LogFields | undefined])[] = [];
  const log: Log = {
    error: ignore,
    info: ignore,
    debug: ignore,
    warn: (event, fields) => warnings.push([event, fields]),
    child: () => log,
  };
  const config = SchedulerConfig.parse({ settleMs: "0ms", ...settings });
  const runner = scope.use(new SchedulerRunner({ config, clock, log, metrics: schedulerMetricsOf(registry), triggerSeed }));
  let streams = 100;
  return {
    clock,
    runner,
    warnings: (event: string) => warnings.filter(([name]) => name === event).map(([, fields]) => fields),
    async rejections(): Promise<Readonly<Record<string, number>>> {
      const { values } = await registry.getSingleMetric("anax_scheduler_rejections_total")!.get(); // it is declared
      return Object.fromEntries(values.map(({ labels, value }) => [labels["rule"], value]));
    },
    attach(name: string, joining: Parameters<typeof hostFacts>[1] = {}): void {
      const host = hostFacts(name, joining);
      runner.tell({ kind: "hostAttached", host, sessionId: ++streams, instanceId: "1", signingKey: undefined, inventory: [] });
    },
    announce: (name: string) => runner.tell({ kind: "hostAnnounced", host: hostFacts(name, {}), intervalMs: undefined }),
    stores(name: string): void {
      const facts = { url: "", digest: undefined, tag: undefined, application: undefined, layout: FOUR_PIECES, sourceRanges: false };
      const stored = { taskId: TASK, peerId: idOf(name), ...facts, finishedPieces: new Uint8Array(), finished: true };
      runner.tell({ kind: "stored", hostId: name as HostId, stored });
    },
    register(name: string, order: Partial<Download> = {}, taskId: TaskId = TASK): void {
      const full = { ...Download.fromPartial({ url: "http://origin/file" }), ...order };
      const ids = { hostId: name as HostId, taskId, peerId: idOf(name) };
      runner.tell({ kind: "peerRegistered", ...ids, streamId: ++streams, order: full, layout: undefined });
    },
  };
}

test("rejections are counted for each decision: of neighbours, of classic parents, of seeds and of readers", async () => {
  await using scope = new AsyncDisposableStack();
  const site = aRunner(scope);
  site.attach("h1", { sharing: false });
  site.stores("h1");
  site.attach("h2", { diskUsedPercent: 97 });
  site.attach("s1", { seed: true, diskUsedPercent: 97 });
  site.register("h2", { disableBackToSource: true });
  assert.deepEqual(await site.rejections(), { "not-sharing": 1, "disk-full": 1 }); // a neighbour; the seed
  site.announce("f1");
  site.register("f1");
  assert.deepEqual(await site.rejections(), { "not-sharing": 3, empty: 1, "disk-full": 1 }); // classic parents, and h2 anew as f1 came; the seed is no news
  site.attach("h3");
  await site.clock.advance(400);
  assert.deepEqual(site.runner.cluster.peers.get(idOf("f1"))?.permit?.kind, "granted");
});

test("who waits and is passed over as a reader is counted", async () => {
  await using scope = new AsyncDisposableStack();
  const site = aRunner(scope, { settleMs: "1s" });
  site.attach("h1", { diskUsedPercent: 97 });
  site.attach("h2");
  site.attach("h3");
  site.register("h1");
  site.register("h2");
  site.register("h3", { disableBackToSource: true });
  await site.clock.advance(1400);
  assert.deepEqual(
    [await site.rejections()].map((counts) => [counts["disk-full"], counts["may-not-read"]]),
    [[1, 1]],
  );
});

test("a cause that leaves peers without parents is warned of once, and its repeats are summed up", async () => {
  await using scope = new AsyncDisposableStack();
  const site = aRunner(scope);
  site.attach("h1", { sharing: false });
  site.stores("h1");
  for (const name of ["f1", "f2", "f3"]) {
    site.announce(name);
    site.register(name, { disableBackToSource: true });
  }
  const told = site.warnings("scheduler.turned-down");
  assert.deepEqual(
    told.map((fields) => [fields?.["taskId"], fields?.["cause"]]),
    [[TASK, "not-sharing"]],
  );
  await site.clock.advance(61_000);
  const repeated = site.warnings("scheduler.repeated").filter((fields) => fields?.["cause"] === "not-sharing");
  assert.deepEqual(repeated, [{ warning: "scheduler.turned-down", cause: "not-sharing", repeats: 3 }]);
});
