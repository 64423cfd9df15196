import assert from "node:assert/strict";
import { test } from "node:test";
import { hostMatcher } from "./host-patterns.ts";

for (const [pattern, url, matches] of [
  ["*", "http://anything/", true],
  ["example.com", "http://example.com/", true],
  ["example.com", "http://EXAMPLE.com./", true],
  ["example.com", "http://a.example.com/", true],
  ["example.com", "http://badexample.com/", false],
  [".example.com", "http://a.example.com/", true],
  [".example.com", "http://example.com/", false],
  ["*.example.com", "http://a.b.example.com/", true],
  ["example.com:8080", "http://example.com:8080/", true],
  ["example.com:8080", "http://example.com/", false],
  ["example.com:443", "https://example.com/", true],
  ["10.0.0.0/8", "http://10.1.2.3:99/", true],
  ["10.0.0.0/8", "http://11.1.2.3/", false],
  ["10.1.2.3:80", "http://10.1.2.3/", true],
  ["::1", "http://[::1]:5000/", true],
  ["[::1]:5000", "http://[::1]:5000/", true],
] as const) {
  test(`${pattern} ${matches ? "matches" : "does not match"} ${url}`, () => {
    assert.equal(hostMatcher([pattern], { subdomains: true })(new URL(url)), matches);
  });
}

test("without subdomains a bare name is only itself", () => {
  const matches = hostMatcher(["example.com", ".inner.test"], { subdomains: false });
  assert.deepEqual(
    ["http://example.com/", "http://a.example.com/", "http://a.inner.test/"].map((url) => matches(new URL(url))),
    [true, false, true],
  );
});
