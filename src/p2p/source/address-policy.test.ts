import assert from "node:assert/strict";
import type dns from "node:dns";
import { test } from "node:test";
import { startOrigin } from "../../../test/kit/origin.ts";
import { aRequest, aSources } from "../../../test/kit/sources.ts";
import { AnaxError } from "../../base/errors.ts";
import { createAddressPolicy } from "./address-policy.ts";
import { parseNetwork } from "./networks.ts";
import { fails } from "./source.conformance.ts";

const NONE = { allowNetworks: [], denyNetworks: [] };

const isRefused = (address: string, config: Parameters<typeof createAddressPolicy>[0] = NONE): boolean => {
  try {
    createAddressPolicy(config).checkHost(address);
    return false;
  } catch (thrown) {
    assert.ok(thrown instanceof AnaxError && thrown.code === "source.denied");
    return true;
  }
};

for (const address of [
  "169.254.169.254",
  "169.254.0.1",
  "0.0.0.0",
  "0.1.2.3",
  "100.100.100.200",
  "168.63.129.16",
  "224.0.0.1",
  "255.255.255.255",
  "::",
  "fe80::1",
  "[fe80::1]",
  "fe80::1%eth0",
  "ff02::1",
  "fd00:ec2::254",
  "::ffff:169.254.169.254",
  "[::ffff:a9fe:a9fe]",
  "64:ff9b::a9fe:a9fe",
  "2002:a9fe:a9fe::1",
]) {
  test(`${address} is refused by default`, () => assert.ok(isRefused(address)));
}

for (const address of ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "fd00::1", "8.8.8.8", "2001:db8::1", "example.com"]) {
  test(`${address} is allowed by default`, () => assert.ok(!isRefused(address)));
}

test("allowNetworks makes exceptions, denyNetworks adds to what is refused", () => {
  const config = { allowNetworks: ["169.254.10.0/24", "10.1.0.0/16"], denyNetworks: ["10.0.0.0/8", "::1"] };
  const expected = { "169.254.10.1": false, "169.254.11.1": true, "10.1.2.3": false, "10.2.2.3": true, "::1": true, "127.0.0.1": false };
  for (const [address, refused] of Object.entries(expected)) assert.equal(isRefused(address, config), refused, address);
});

const resolver = (addresses: readonly string[]): typeof dns.lookup =>
  ((_host: string, _options: object, callback: (error: null, found: { address: string; family: number }[]) => void) =>
    callback(
      null,
      addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
    )) as typeof dns.lookup;

test("of a name's addresses only the permitted ones are seen", () => {
  const policy = createAddressPolicy(NONE, resolver(["169.254.169.254", "10.0.0.7", "fe80::1"]));
  const found: unknown[] = [];
  policy.lookup("name.test", { all: true }, (...result) => found.push(result));
  policy.lookup("name.test", {}, (...result) => found.push(result));
  assert.deepEqual(found, [
    [null, [{ address: "10.0.0.7", family: 4 }]],
    [null, "10.0.0.7", 4],
  ]);
});

test("a name with refused addresses alone is source.denied", () => {
  const policy = createAddressPolicy(NONE, resolver(["169.254.169.254"]));
  policy.lookup("rebound.test", { all: true }, (error) => {
    assert.ok(error instanceof AnaxError);
    assert.deepEqual([error.code, error.details["addresses"]], ["source.denied", ["169.254.169.254"]]);
  });
});

test("a name is judged by the address that it resolves to when it is connected to", async () => {
  await using origin = await startOrigin({ content: { "/a": "x" } });
  await using sources = aSources({ denyNetworks: ["127.0.0.0/8", "::1"] });
  await fails(sources.stat(aRequest(origin.url("/a").replace("127.0.0.1", "localhost"))), "source.denied");
  await fails(sources.stat(aRequest(origin.url("/a"))), "source.denied");
  assert.equal(origin.connections, 0);
});

test("networks are read strictly", () => {
  assert.deepEqual(parseNetwork("10.0.0.0/8"), { address: "10.0.0.0", prefixBits: 8, family: 4 });
  assert.deepEqual(parseNetwork("fd00::1"), { address: "fd00::1", prefixBits: 128, family: 6 });
  for (const text of ["", "10.0.0.0/33", "10.0.0", "example.com", "fd00::/129", "10.0.0.0/-1", "10.0.0.0/8/8"]) {
    assert.equal(parseNetwork(text), undefined, text);
  }
});
