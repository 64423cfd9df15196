import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutSecrets } from "./open-store.ts";

test("an engine is named without its password and without parameters", () => {
  for (const [url, shown] of [
    ["postgres://me:s3cret@db:5432/anax?sslpassword=x", "postgres://me@db:5432/anax"],
    ["postgres://me@db/anax", "postgres://me@db/anax"],
    ["redis://:s3cret@host:6379/0?lossy=allowed", "redis://host:6379/0"],
    ["rediss://user:a%40b@host", "rediss://user@host"],
    ["postgres://me:s3@cret@db/anax", "postgres://me@db/anax"],
    ["redis://:se/cret@host", "redis://host"],
    ["etcd://one:2379,two:2379", "etcd://one:2379,two:2379"],
  ] as const)
    assert.equal(withoutSecrets(url), shown);
});
