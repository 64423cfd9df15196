import assert from "node:assert/strict";
import { test } from "node:test";
import { countersOf, defaultRoutesOf, passedBetween, readLinkCounters } from "./link-counters.ts";

const DEV = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 9000       10    0    0    0     0          0         0     9000      10    0    0    0     0       0          0
  eth0:1000        10    0    0    0     0          0         0      500       5    0    0    0     0       0          0
docker0: 70 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0
`;

test("the bytes of the interfaces that count are read", () => {
  const [eth0, docker0] = [
    { receivedBytes: 1000, sentBytes: 500 },
    { receivedBytes: 70, sentBytes: 7 },
  ];
  assert.deepEqual(
    countersOf(DEV),
    new Map([
      ["eth0", eth0],
      ["docker0", docker0],
    ]),
  );
  assert.deepEqual(
    countersOf(DEV, (name) => name === "eth0"),
    new Map([["eth0", eth0]]),
  );
  assert.deepEqual(countersOf(""), new Map());
});

const reading = (...rows: readonly (readonly [name: string, receivedBytes: number, sentBytes: number])[]) =>
  new Map(rows.map(([name, receivedBytes, sentBytes]) => [name, { receivedBytes, sentBytes }]));

for (const [what, before, now, passed] of [
  ["both interfaces", reading(["a", 100, 10], ["b", 5, 5]), reading(["a", 130, 15], ["b", 6, 5]), [31, 5]],
  ["one that came counts from its next reading on", reading(["a", 100, 10]), reading(["a", 101, 11], ["b", 9e12, 9e12]), [1, 1]],
  ["a route that moved", reading(["a", 100, 10]), reading(["b", 9e12, 9e12]), [0, 0]],
  ["one that went does not take from the others", reading(["a", 9e12, 9e12], ["b", 5, 5]), reading(["b", 7, 6]), [2, 1]],
  ["one that was made anew", reading(["a", 9e12, 9e12], ["b", 5, 5]), reading(["a", 3, 3], ["b", 7, 6]), [2, 1]],
] as const) {
  test(`what passed the link between two readings: ${what}`, () => {
    const [receivedBytes, sentBytes] = passed;
    assert.deepEqual(passedBetween(before, now), { receivedBytes, sentBytes });
  });
}

test("a bridge has a route, but not the default one", () => {
  const route = [
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT",
    "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0",
    "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0",
    "",
  ].join("\n");
  assert.deepEqual(defaultRoutesOf(route), ["eth0"]);
  assert.deepEqual(defaultRoutesOf(""), []);
});

test("this machine's counters can be read, and an interface that does not exist counts nothing", async () => {
  const counters = await readLinkCounters(["lo"]);
  assert.ok(Number.isSafeInteger(counters.get("lo")?.receivedBytes));
  assert.deepEqual(await readLinkCounters(["no-such-interface"]), new Map());
});
