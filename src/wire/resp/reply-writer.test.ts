import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDouble, ReplyWriter } from "./reply-writer.ts";

const written = (protocol: 2 | 3, write: (reply: ReplyWriter) => void): string => {
  const reply = new ReplyWriter();
  reply.protocol = protocol;
  write(reply);
  return reply.view().toString("latin1");
};

test("each type is written as its protocol has it", () => {
  const rows: readonly (readonly [(reply: ReplyWriter) => void, string, string])[] = [
    [(reply) => reply.ok(), "+OK\r\n", "+OK\r\n"],
    [(reply) => reply.error("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n"],
    [(reply) => reply.integer(-12), ":-12\r\n", ":-12\r\n"],
    [(reply) => reply.integer(9007199254740993n), ":9007199254740993\r\n", ":9007199254740993\r\n"],
    [(reply) => reply.bulk("\xff\0"), "$2\r\n\xff\0\r\n", "$2\r\n\xff\0\r\n"],
    [(reply) => reply.bulkBytes(Buffer.from("abcdef"), 1, 3), "$3\r\nbcd\r\n", "$3\r\nbcd\r\n"],
    [(reply) => reply.null(), "$-1\r\n", "_\r\n"],
    [(reply) => reply.nullArray(), "*-1\r\n", "_\r\n"],
    [(reply) => reply.map(2), "*4\r\n", "%2\r\n"],
    [(reply) => reply.set(3), "*3\r\n", "~3\r\n"],
    [(reply) => reply.push(2), "*2\r\n", ">2\r\n"],
    [(reply) => reply.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"],
    [(reply) => reply.boolean(true), ":1\r\n", "#t\r\n"],
    [(reply) => reply.verbatim("hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"],
    [(reply) => reply.bigNumber("123"), "$3\r\n123\r\n", "(123\r\n"],
  ];
  for (const [write, resp2, resp3] of rows) assert.deepEqual([written(2, write), written(3, write)], [resp2, resp3]);
});

test("integers of every length are written whole", () => {
  for (let digits = 1; digits < 16; digits++)
    for (const value of [10 ** (digits - 1), 10 ** digits - 1])
      assert.equal(
        written(2, (reply) => reply.integer(value)),
        `:${value}\r\n`,
      );
});

test("the buffer grows, and what is taken stays as it was", () => {
  const reply = new ReplyWriter();
  const large = "x".repeat(100_000);
  reply.bulk(large);
  const taken = reply.take();
  reply.bulk("y".repeat(100_000));
  assert.equal(taken.toString("latin1"), `$100000\r\n${large}\r\n`);
  reply.truncate(2);
  assert.equal(reply.view().toString(), "$1");
});

test("doubles are the shortest that read back, with an exponent where C has one", () => {
  const rows: readonly (readonly [number, string])[] = [
    [0, "0"],
    [-0, "-0"],
    [3, "3"],
    [0.1, "0.1"],
    [1e17, "1e+17"],
    [123456789012345680, "1.2345678901234568e+17"],
    [0.00001, "1e-05"],
    [1e300, "1e+300"],
    [Infinity, "inf"],
    [-Infinity, "-inf"],
  ];
  for (const [value, text] of rows) assert.equal(formatDouble(value), text);
});

test("an integer of any length is written as its digits", () => {
  const writer = new ReplyWriter();
  const values = [0, 9, 10, 999, 1000, 9999, 10_000, 99_999, 100_000, 1_000_000, 2_147_483_647, 2_147_483_648, 2 ** 53 - 1, -1, -12_345];
  for (const value of values) writer.integer(value);
  assert.equal(writer.view().toString(), values.map((value) => `:${value}\r\n`).join(""));
});

test("what was not needed is given back, and comes again when it is", () => {
  const writer = new ReplyWriter();
  assert.equal(writer.size, 0);
  writer.bulk("x".repeat(40_000));
  writer.truncate();
  writer.shrink(); // it was needed
  assert.ok(writer.size >= 40_000);
  writer.ok();
  writer.shrink(); // something waits in it
  assert.ok(writer.size >= 40_000);
  writer.truncate();
  writer.shrink();
  writer.shrink();
  assert.equal(writer.size, 1024);
  writer.bulk("y".repeat(2000));
  assert.equal(String(writer.view()), `$2000\r\n${"y".repeat(2000)}\r\n`);
});
