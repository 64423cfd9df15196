import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { BATCH_MAX, ProtocolError, RequestBatch, RequestParser, type RequestLimits, type RequestSink } from "./request-parser.ts";
import type { Request } from "./request.ts";

const LIMITS: RequestLimits = { bulkBytesMax: 1024 * 1024, pendingBytesMax: 4 * 1024 * 1024 };

const encoded = (commands: readonly (readonly string[])[]): Buffer =>
  Buffer.from(
    commands.map((parts) => `*${parts.length}\r\n${parts.map((part) => `$${part.length}\r\n${part}\r\n`).join("")}`).join(""),
    "latin1",
  );

/** What is announced before it is run comes as announced, as far as nothing comes between. */
function sinkOf(run: (request: Request) => boolean): RequestSink {
  let announced: string[][] = [];
  return {
    prepare(requests, count) {
      announced = requests.slice(0, count).map((request) => request.texts());
    },
    run(request) {
      const next = announced.shift();
      if (next !== undefined) assert.deepEqual(request.texts(), next);
      const goesOn = run(request);
      if (!goesOn) announced = [];
      return goesOn;
    },
  };
}

/** What a parser makes of these chunks; each is read into the same buffer, as a connection does. */
function parsed(chunks: readonly Uint8Array[], options: { readonly limits?: RequestLimits; readonly known?: boolean } = {}): string[][] {
  const parser = new RequestParser(new RequestBatch());
  const buffer = Buffer.alloc(Math.max(1, ...chunks.map(({ length }) => length)));
  const commands: string[][] = [];
  const sink = sinkOf((request) => commands.push(request.texts()) > 0);
  for (const chunk of chunks) {
    buffer.fill(0xff);
    buffer.set(chunk);
    parser.feed(buffer, chunk.length, sink, options.limits ?? LIMITS, options.known ?? true);
  }
  assert.equal(parser.pendingBytes, 0);
  return commands;
}

test("commands come out as they went in, wherever the bytes are cut", () => {
  const commands = [["SET", "key", "a\r\nb\0\xff"], ["GET", ""], ["MSET", ...Array.from({ length: 40 }, (_, i) => `v${i}`)], ["PING"]];
  const bytes = encoded(commands);
  for (let cut = 0; cut <= bytes.length; cut++)
    assert.deepEqual(parsed([bytes.subarray(0, cut), bytes.subarray(cut)]), commands, `cut at ${cut}`);
  assert.deepEqual(parsed([...bytes].map((byte) => Uint8Array.of(byte))), commands);
});

test("random commands in random pieces are read whole", () => {
  const text = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 300 });
  const commands = fc.array(fc.array(text, { minLength: 1, maxLength: 20 }), { maxLength: 8 });
  fc.assert(
    fc.property(commands, fc.array(fc.nat({ max: 5000 })), (all, cuts) => {
      const bytes = encoded(all);
      const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
      assert.deepEqual(parsed(at.slice(1).map((to, i) => bytes.subarray(at[i], to))), all);
    }),
  );
});

test("inline commands are words with quotes", () => {
  const rows: readonly (readonly [string, string[]])[] = [
    ["PING\r\n", ["PING"]],
    ['  SET  a "b c" \n', ["SET", "a", "b c"]],
    [`SET a "\\x41\\n" 'it\\'s'\r\n`, ["SET", "a", "A\n", "it's"]],
    ['GET ""\r\n', ["GET", ""]],
  ];
  for (const [line, words] of rows) assert.deepEqual(parsed([Buffer.from(line)]), [words]);
  assert.deepEqual(parsed([Buffer.from("\r\n\r\nPING\r\n")]), [["PING"]]);
});

test("what is not RESP, or beyond the limits, is refused by Redis' words", () => {
  const rows: readonly (readonly [string, RegExp, boolean?])[] = [
    ["*x\r\n", /invalid multibulk length/],
    ["*2000000\r\n", /invalid multibulk length/],
    ["*1\r\nGET\r\n", /expected '\$', got 'G'/],
    ["*1\r\n$-1\r\n", /invalid bulk length/],
    ["*1\r\n$2000000\r\n", /invalid bulk length/],
    ["*1\r\n$blabla\r\n", /invalid bulk length/],
    ['GET "a\r\n', /unbalanced quotes/],
    ["a".repeat(70_000), /too big inline request/],
    [`*${"1".repeat(70_000)}`, /too big mbulk count string/],
    [`*1\r\n$${"1".repeat(70_000)}`, /too big bulk count string/],
    ["*11\r\n", /unauthenticated multibulk length/, false],
    ["*1\r\n$20000\r\n", /unauthenticated bulk length/, false],
  ];
  for (const [bytes, message, known = true] of rows)
    assert.throws(
      () => parsed([Buffer.from(bytes)], { known }),
      (thrown) => thrown instanceof ProtocolError && message.test(thrown.message),
      bytes,
    );
  const limits = { ...LIMITS, pendingBytesMax: 1000 };
  assert.throws(() => parsed([encoded([["SET", "a", "b".repeat(2000)]]).subarray(0, 1500)], { limits }), ProtocolError);
});

test("no memory is taken for a length that is only announced", () => {
  const parser = new RequestParser(new RequestBatch());
  const start = Buffer.from("*2\r\n$3\r\nGET\r\n$1000000\r\nabc");
  parser.feed(
    start,
    start.length,
    sinkOf(() => true),
    LIMITS,
    true,
  );
  assert.ok(parser.allocatedBytes < 64 * 1024, `${parser.allocatedBytes} bytes`);
});

test("a client that waits is read no further until it goes on", () => {
  const parser = new RequestParser(new RequestBatch());
  const seen: string[] = [];
  const sink = sinkOf((request) => {
    seen.push(request.text(0));
    return request.text(0) !== "BLPOP";
  });
  const bytes = encoded([["A"], ["BLPOP"], ["B"], ["C"]]);
  parser.feed(Buffer.from(bytes), bytes.length, sink, LIMITS, true);
  assert.deepEqual(seen, ["A", "BLPOP"]);
  parser.feed(encoded([["D"]]), encoded([["D"]]).length, sink, LIMITS, true);
  assert.deepEqual(seen, ["A", "BLPOP"]);
  parser.resume(sink, LIMITS, true);
  assert.deepEqual(seen, ["A", "BLPOP", "B", "C", "D"]);
});

test("commands that came together are announced together before the first is run, plain ones and no more than a batch holds", () => {
  const parser = new RequestParser(new RequestBatch());
  const announced: string[][] = [];
  const seen: string[] = [];
  const sink: RequestSink = {
    prepare: (requests, count) => announced.push(requests.slice(0, count).map((request) => request.text(0))),
    run: (request) => seen.push(request.text(0)) > 0,
  };
  const names = Array.from({ length: BATCH_MAX + 2 }, (_, i) => `N${i}`);
  const many = ["MANY", ..."abcdefghij".split("")];
  const bytes = Buffer.concat([
    encoded(names.map((name) => [name, "x"])),
    encoded([many]),
    Buffer.from("INLINE x\r\n"),
    encoded([["LAST"]]),
  ]);
  parser.feed(bytes, bytes.length, sink, LIMITS, true);
  assert.deepEqual(seen, [...names, "MANY", "INLINE", "LAST"]);
  assert.deepEqual(announced, [names.slice(0, BATCH_MAX), names.slice(BATCH_MAX)]);
});

test("while commands of a batch are run, others may be read and run", () => {
  const batch = new RequestBatch();
  const [one, other] = [new RequestParser(batch), new RequestParser(batch)];
  const seen: string[] = [];
  const inner = sinkOf((request) => seen.push(request.texts().join(" ")) > 0);
  const lent = encoded([
    ["C", "3"],
    ["D", "4"],
    ["E", "5"],
  ]);
  const outer = sinkOf((request) => {
    if (request.text(0) === "A") batch.lend(() => other.feed(lent, lent.length, inner, LIMITS, true));
    return seen.push(request.texts().join(" ")) > 0;
  });
  const bytes = encoded([
    ["A", "1"],
    ["B", "22"],
  ]);
  one.feed(bytes, bytes.length, outer, LIMITS, true);
  assert.deepEqual(seen, ["C 3", "D 4", "E 5", "A 1", "B 22"]);
  assert.equal(one.pendingBytes, 0);
});
