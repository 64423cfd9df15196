import assert from "node:assert/strict";
import { test } from "node:test";
import { AnaxError } from "../../../base/errors.ts";
import { failureOn, withoutSecrets } from "./open-store.ts";

test("an engine is named without its password and without parameters", () => {
  for (const [url, shown] of [
    ["postgres://me:s3cret@db:5432/anax?sslpassword=x", "postgres://me@db:5432/anax"],
    ["postgres://me@db/anax", "postgres://me@db/anax"],
    ["redis://:s3cret@host:6379/0?lossy=allowed", "redis://host:6379/0"],
    ["rediss://user:a%40b@host", "rediss://user@host"],
    ["postgres://me:s3@cret@db/anax", "postgres://me@db/anax"],
    ["redis://:se/cret@host", "redis://host"],
    ["etcd://one:2379,two:2379", "etcd://one:2379,two:2379"],
    ["etcds://one:2379,two:2379?cacert=/etc/ca.pem&key=/etc/key.pem", "etcds://one:2379,two:2379"],
  ] as const)
    assert.equal(withoutSecrets(url), shown);
});

test("whatever keeps an engine from answering is unreachable, and what is wrong with what it has is not", () => {
  for (const cause of [
    new AnaxError("rpc.unavailable", {}),
    new AnaxError("download.deadline", { afterMs: 1 }),
    new TypeError("odd"),
    "text",
  ])
    assert.equal(failureOn("etcd://host", cause).code, "volume.unreachable", String(cause));
  for (const code of ["disk.newer-format", "config.invalid"] as const)
    assert.equal(failureOn("etcd://host", new AnaxError(code, {})).code, code);
});
