import assert from "node:assert/strict";
import { test } from "node:test";
import { countersOf, defaultRoutesOf, readLinkCounters } from "./link-counters.ts";

const DEV = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 9000       10    0    0    0     0          0         0     9000      10    0    0    0     0       0          0
  eth0:1000        10    0    0    0     0          0         0      500       5    0    0    0     0       0          0
docker0: 70 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0
`;

test("the bytes of the interfaces that count are added up", () => {
  assert.deepEqual(countersOf(DEV), { receivedBytes: 1070, sentBytes: 507 });
  assert.deepEqual(
    countersOf(DEV, (name) => name === "eth0"),
    { receivedBytes: 1000, sentBytes: 500 },
  );
  assert.deepEqual(countersOf(""), { receivedBytes: 0, sentBytes: 0 });
});

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
  const { receivedBytes } = await readLinkCounters(["lo"]);
  assert.ok(Number.isSafeInteger(receivedBytes));
  assert.deepEqual(await readLinkCounters(["no-such-interface"]), { receivedBytes: 0, sentBytes: 0 });
});
