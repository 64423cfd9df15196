import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { suite, test } from "node:test";
import { aDownload, attached, sha256Of, startTestDaemon, startTestScheduler } from "../../../test/kit/daemon.ts";
import { sha256OfGenerated } from "../../../test/kit/generated-content.ts";
import { startOrigin, type Origin, type OriginOptions } from "../../../test/kit/origin.ts";

// A daemon by itself and an origin that gives each connection a part of what it has.

const MIB = 1024 * 1024;
const CONTENT = { bytes: 80 * MIB + 13, seed: 91 };
const SLOWLY = { bytesPerSecond: 10 * MIB };
/** What may be on its way of a body that is given up in the middle. */
const IN_FLIGHT = 6 * MIB;

type Intercept = NonNullable<OriginOptions["intercept"]>;

/** Gives this answer to every request for a part. */
const toRanges =
  (answer: (response: ServerResponse) => void): Intercept =>
  (request, response) => {
    if (request.headers["range"] === undefined) return false;
    answer(response);
    return true;
  };

const ranges = (origin: Origin): number => origin.requests.filter(({ headers }) => headers["range"] !== undefined).length;

async function download(origin: Origin, config: Readonly<Record<string, unknown>> = {}): Promise<void> {
  await using alone = await startTestDaemon({ name: "alone", config: { sourceBackoffMs: "10ms", ...config } });
  using running = alone.daemon.downloads.start(aDownload(origin.url("/file")));
  assert.equal(await sha256Of(running), sha256OfGenerated(CONTENT));
  await running.done;
}

test("a source that gives each connection little is read over several, and every byte once", async () => {
  let open = 0;
  let most = 0;
  const intercept: Intercept = (_, response) => {
    most = Math.max(most, ++open);
    response.on("close", () => open--);
    return false;
  };
  await using origin = await startOrigin({ content: { "/file": CONTENT }, faults: { "/file": SLOWLY }, intercept });
  await download(origin);
  assert.ok(most >= 3, `${most} connections at once`);
  const { bytesSent } = origin.totals();
  assert.ok(bytesSent <= CONTENT.bytes + IN_FLIGHT, `${bytesSent} bytes`);
});

test("one connection is all that the setting allows", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT }, faults: { "/file": { bytesPerSecond: 40 * MIB } } });
  await download(origin, { sourceConnectionsMax: 1 });
  assert.equal(origin.totals().gets, 1);
});

/**
 * What each of two hosts read of a source that gives each connection little, and what it sent. A host has three
 * connections at most, also where a busy machine lets the other one join late.
 */
async function both(sourceShareMax: number, bytesPerSecond: number): Promise<{ readonly read: readonly number[]; readonly sent: number }> {
  await using origin = await startOrigin({ content: { "/file": CONTENT }, faults: { "/file": { bytesPerSecond } } });
  await using scheduler = await startTestScheduler({ sourceShareMax });
  const narrow = { schedulers: [scheduler.address], config: { sourceConnectionsMax: 3 } };
  await using a = await startTestDaemon({ name: "a", ...narrow });
  await using b = await startTestDaemon({ name: "b", ...narrow });
  await Promise.all([attached(a), attached(b)]);
  using first = a.daemon.downloads.start(aDownload(origin.url("/file")));
  using second = b.daemon.downloads.start(aDownload(origin.url("/file")));
  const results = await Promise.all([first.done, second.done]);
  return { read: results.map(({ bytesFrom }) => bytesFrom["back-to-source"]), sent: origin.totals().bytesSent };
}

suite("of two hosts, where a source gives each connection little,", () => {
  test("both read", async () => {
    const { read, sent } = await both(4, 2 * MIB); // by all connections of one host it takes far longer than what dividing is worth for
    assert.ok(
      read.every((bytes) => bytes > CONTENT.bytes / 8),
      `${read.join(" and ")} bytes`,
    );
    assert.ok(sent <= CONTENT.bytes + 2 * IN_FLIGHT, `${sent} bytes`);
  });

  test("one reads over several connections where only one may read", async () => {
    const { read, sent } = await both(1, 4 * MIB);
    assert.deepEqual(
      read.toSorted((x, y) => x - y),
      [0, CONTENT.bytes],
    );
    assert.ok(sent <= CONTENT.bytes + 2 * IN_FLIGHT, `${sent} bytes`);
  });
});

test("a source that gives parts no more is read from its beginning", async () => {
  await using origin = await startOrigin({ content: { "/file": CONTENT }, faults: { "/file": SLOWLY } });
  const done = download(origin);
  await origin.until(() => ranges(origin) >= 6);
  origin.setFault("/file", { bytesPerSecond: 60 * MIB, ignoreRange: true });
  await done;
});

suite("the content is whole, and comes over the first connection, when further ones", () => {
  const answers: readonly (readonly [string, (response: ServerResponse) => void])[] = [
    ["are refused", (response) => response.writeHead(429).end()],
    ["are reset", (response) => response.destroy()],
    ["are given something else", (response) => response.writeHead(200, { "content-length": CONTENT.bytes, etag: '"new"' }).end("x")],
    [
      "are given a part of something else",
      (response) => response.writeHead(206, { "content-range": `bytes 0-4/5`, "content-length": 5, etag: '"new"' }).end("other"),
    ],
  ];
  for (const [title, answer] of answers) {
    test(title, async () => {
      await using origin = await startOrigin({
        content: { "/file": CONTENT },
        faults: { "/file": { bytesPerSecond: 40 * MIB } },
        intercept: toRanges(answer),
      });
      await download(origin);
      assert.ok(ranges(origin) > 0, "others were tried");
      assert.equal(origin.stats("/file").bytesSent, CONTENT.bytes);
    });
  }
});
