import assert from "node:assert/strict";
import { test } from "node:test";
import { SigningKeys, signingKeyOf } from "./signature-v4.ts";

// "Deriving the signing key", in the documentation of Signature Version 4.
const SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SCOPE = { day: "20150830", region: "us-east-1", service: "iam" };
const KEY = "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9";

test("a signing key is made once for each secret, day, region and service, however many there are", () => {
  const keys = new SigningKeys();
  assert.equal(keys.of(SECRET, SCOPE).toString("hex"), KEY);
  assert.equal(keys.of(SECRET, { ...SCOPE }), keys.of(SECRET, SCOPE));
  for (const other of [{ day: "20150831" }, { region: "eu-west-1" }, { service: "s3" }]) {
    const scope = { ...SCOPE, ...other };
    assert.deepEqual(keys.of(SECRET, scope), signingKeyOf(SECRET, scope));
  }
  for (let place = 0; place < 200; place++) assert.deepEqual(keys.of(`${place}`, SCOPE), signingKeyOf(`${place}`, SCOPE));
  assert.equal(keys.of(SECRET, SCOPE).toString("hex"), KEY);
});
