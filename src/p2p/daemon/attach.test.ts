import assert from "node:assert/strict";
import { test } from "node:test";
import { aDownload, attached, startTestDaemon, until } from "../../../test/kit/daemon.ts";
import { startOrigin } from "../../../test/kit/origin.ts";
import { realClock } from "../../base/clock.ts";
import { SchedulerService, Welcome, type AttachRequest } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import { GrpcServer } from "../../wire/grpc/server.ts";
import { serviceOf } from "../../wire/grpc/service.ts";

type Said = NonNullable<AttachRequest["request"]>;

/** A scheduler of ours that sends every download to the source. */
async function startTold(takesBatches: boolean) {
  const messages: Said[] = [];
  const heard: Said[] = [];
  const service = serviceOf(SchedulerService, {
    async attach({ requests, send }) {
      for await (const { request } of requests) {
        if (request === undefined) continue;
        messages.push(request);
        const said = request.$case === "batch" ? request.value.requests.map((each) => each.request!) : [request]; // a daemon says something
        heard.push(...said);
        if (request.$case === "hello")
          await send({ response: { $case: "welcome", value: Welcome.fromPartial({ takesTalks: true, takesBatches }) } });
        const asked = said.filter((each) => each.$case === "talk" && each.value.request?.request?.$case === "registerPeerRequest");
        const answers = asked.map((each) => ({ id: each.$case === "talk" ? each.value.id : 0, response: SOURCE, ...WELL }));
        if (takesBatches) await send({ response: { $case: "batch", value: { answers } } });
        else for (const answer of answers) await send({ response: { $case: "answer", value: answer } });
      }
    },
  });
  const server = await GrpcServer.start({
    listen: [{ host: "127.0.0.1", port: 0 }],
    services: [service],
    clock: realClock,
    onError: () => undefined,
    drainTimeoutMs: 100,
  });
  const [address] = server.addresses;
  assert.ok(address !== undefined && !("path" in address));
  return { messages, heard, address: `127.0.0.1:${address.port}`, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

const WELL = { errorCode: "", errorDetails: new Uint8Array() };
const SOURCE = {
  response: { $case: "needBackToSourceResponse" as const, value: { description: "told", rejections: [], foreignHosts: false, spans: [] } },
};

for (const takesBatches of [true, false])
  test(`many downloads tell a scheduler that ${takesBatches ? "takes" : "does not know"} batches, each in its order`, async () => {
    const content = Object.fromEntries(Array.from({ length: 30 }, (_, place) => [`/${place}`, `content ${place}`]));
    await using origin = await startOrigin({ content });
    await using scheduler = await startTold(takesBatches);
    await using daemon = await startTestDaemon({ name: "told", schedulers: [scheduler.address] });
    await attached(daemon);
    const held = Object.keys(content).map((path) => daemon.daemon.downloads.start(aDownload(origin.url(path))));
    const results = await Promise.all(held.map(({ done }) => done));
    assert.ok(results.every(({ bytesFrom }) => bytesFrom["back-to-source"] > 0));
    for (const each of held) each[Symbol.dispose]();

    const words = (): ReadonlyMap<number, readonly (string | undefined)[]> => {
      const byTalk = new Map<number, (string | undefined)[]>();
      for (const said of scheduler.heard)
        if (said.$case === "talk") byTalk.set(said.value.id, [...(byTalk.get(said.value.id) ?? []), said.value.request?.request?.$case]);
      return byTalk;
    };
    await until(() => words().size === 30 && [...words().values()].every(({ length }) => length >= 2)); // the last are still on their way
    const batches = scheduler.messages.filter(({ $case }) => $case === "batch").length;
    if (takesBatches) assert.ok(batches > 0 && scheduler.messages.length < scheduler.heard.length);
    else assert.equal(batches, 0);
    for (const said of words().values())
      assert.deepEqual(said.slice(0, 2), ["registerPeerRequest", "downloadPeerBackToSourceStartedRequest"]);
  });
