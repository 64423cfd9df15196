import assert from "node:assert/strict";
import { test } from "node:test";
import { SourceConfig } from "./config.ts";

test("the defaults are valid and read file:// from nowhere", () => {
  const config = SourceConfig.parse({});
  assert.deepEqual([config.fileRoots, config.connectTimeoutMs, config.redirectsMax, config.attemptsMax], [[], 5000, 10, 3]);
});

test("every setting has a description", () => {
  for (const [name, setting] of Object.entries(SourceConfig.shape)) assert.ok(setting.description, name);
});

for (const bad of [
  { attemptsMax: 0 },
  { proxyUrl: "socks5://proxy:1080" },
  { proxyUrl: "proxy:3128" },
  { fileRoots: ["relative"] },
  { caFiles: ["ca.pem"] },
  { denyNetworks: ["10.0.0.0/40"] },
  { allowNetworks: ["example.com"] },
  { connectTimeoutMs: "1h" },
  { userAgent: "a\nb" },
  { nothing: 1 },
]) {
  test(`${JSON.stringify(bad)} is not accepted`, () => assert.equal(SourceConfig.safeParse(bad).success, false));
}
