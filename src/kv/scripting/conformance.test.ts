import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { latin1Of } from "../../base/latin1.ts";
import { Request } from "../../wire/resp/request.ts";
import { Client } from "../clients/client.ts";
import { dispatch } from "../dispatch.ts";
import { aStore } from "../store-fixture.ts";

interface Vector {
  readonly script: string;
  /** RESP, one character for a byte. */
  readonly reply: string;
}

/** What Redis 7.0.15 has answered to each script, called one after the other with the keys k1, k2 and the arguments arg1, 10. */
const VECTORS = JSON.parse(readFileSync(new URL("conformance.json", import.meta.url), "utf8")) as readonly Vector[];

test("scripts are answered byte for byte as by Redis 7.0.15", () => {
  const { store } = aStore();
  const client = new Client(store, store.nextClientId(), { wake: () => {}, resume: () => {}, close: () => {} });
  const unlike: { script: string; expected: string; actual: string }[] = [];
  for (const { script, reply: expected } of VECTORS) {
    dispatch(client, Request.of(["EVAL", script, "2", "k1", "k2", "arg1", "10"]));
    const actual = latin1Of(client.reply.take());
    if (actual !== expected) unlike.push({ script, expected, actual });
  }
  assert.ok(VECTORS.length > 300);
  assert.deepEqual(unlike, []);
});
