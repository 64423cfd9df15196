import assert from "node:assert/strict";
import { test } from "node:test";
import { createMessageParser, frameMessage } from "./message-parser.ts";

test("messages are read wherever their bytes are cut, empty ones as well", () => {
  const messages = ["", "one", "", "", "another one", ""].map((text) => Buffer.from(text));
  const bytes = Buffer.concat(messages.map(frameMessage));
  for (let cut = 0; cut <= bytes.length; cut++) {
    const parser = createMessageParser(100);
    const got = [bytes.subarray(0, cut), bytes.subarray(cut)].flatMap((part) => parser.feed(part));
    assert.deepEqual(got, messages);
    assert.equal(parser.broken, false);
  }
  const parser = createMessageParser(100);
  assert.deepEqual(
    [...bytes].flatMap((byte) => parser.feed(Buffer.of(byte))),
    messages,
  );
});

test("an end inside of a message shows", () => {
  const parser = createMessageParser(100);
  parser.feed(frameMessage(Buffer.from("message")).subarray(0, 5));
  assert.equal(parser.broken, true);
});

test("a message that is too long, or compressed, is refused by its head", () => {
  assert.throws(() => createMessageParser(100).feed(Buffer.of(0, 0, 0, 0, 101)), { code: "rpc.resource-exhausted" });
  assert.throws(() => createMessageParser(100).feed(Buffer.of(1, 0, 0, 0, 1)), { code: "rpc.internal" });
});
