import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { AwsChunkedDecoder } from "./aws-chunked.ts";

interface Decoded {
  readonly content: string;
  readonly trailers: readonly (readonly [string, string])[];
}

/** Cut at these places, as a network would. */
function decode(
  text: Buffer,
  { signed = false, decodedBytes, cuts = [] }: { signed?: boolean; decodedBytes: number; cuts?: readonly number[] },
): Decoded {
  const decoder = new AwsChunkedDecoder({ signed, decodedBytes });
  const content: Uint8Array[] = [];
  let trailers: Decoded["trailers"] = [];
  const take = (events: ReturnType<AwsChunkedDecoder["push"]>): void => {
    for (const event of events) {
      if (event.kind === "data") content.push(event.bytes);
      if (event.kind === "end") ({ trailers } = event);
    }
  };
  const places = [0, ...cuts.map((cut) => cut % (text.length + 1)).toSorted((a, b) => a - b), text.length];
  places.slice(1).forEach((to, index) => take(decoder.push(text.subarray(places[index], to))));
  take(decoder.finish());
  return { content: Buffer.concat(content).toString("latin1"), trailers };
}

test("content comes out as it went in, wherever the encoded bytes are cut", () => {
  const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 5 });
  const name = fc.stringMatching(/^[a-z-]{1,10}$/);
  const value = fc.stringMatching(/^[A-Za-z0-9+/=]{0,10}$/);
  fc.assert(
    fc.property(
      chunks,
      fc.array(fc.tuple(name, value), { maxLength: 3 }),
      fc.boolean(),
      fc.array(fc.nat(), { maxLength: 6 }),
      (parts, trailers, signed, cuts) => {
        const head = (length: number): string => `${length.toString(16)}${signed ? `;chunk-signature=${"0".repeat(64)}` : ""}\r\n`;
        const encoded = Buffer.concat([
          ...parts.flatMap((part) => [Buffer.from(head(part.length)), part, Buffer.from("\r\n")]),
          Buffer.from(`${head(0)}${trailers.map(([key, text]) => `${key}:${text}\r\n`).join("")}\r\n`),
        ]);
        const content = Buffer.concat(parts);
        assert.deepEqual(decode(encoded, { signed, decodedBytes: content.length, cuts }), {
          content: content.toString("latin1"),
          trailers,
        });
      },
    ),
  );
});

test("whatever else comes is refused, and never more is given out than was promised", () => {
  const wrong: readonly (readonly [text: string, decodedBytes: number])[] = [
    ["5\r\nhello\r\n0\r\n\r\n", 4],
    ["5\r\nhello\r\n0\r\n\r\n", 6],
    ["5\r\nhello", 5],
    ["5\r\nhello!\r\n0\r\n\r\n", 5],
    ["-5\r\nhello\r\n0\r\n\r\n", 5],
    ["ffffffffffffffff\r\n", 5],
    ["0x5\r\nhello\r\n0\r\n\r\n", 5],
    ["5;chunk-signature=00\r\nhello\r\n0\r\n\r\n", 5],
    ["0\r\n\r\nmore", 0],
    ["0\r\nno trailer\r\n\r\n", 0],
    [`0\r\na:${"x".repeat(2000)}\r\n\r\n`, 0],
    [`0\r\n${"a:b\r\n".repeat(17)}\r\n`, 0],
    ["1".repeat(2000), 5],
    ["", 0],
  ];
  for (const [text, decodedBytes] of wrong)
    assert.throws(() => decode(Buffer.from(text), { decodedBytes }), { code: "input.invalid" }, text.slice(0, 40));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(50), (bytes, decodedBytes) => {
      try {
        assert.equal(decode(Buffer.from(bytes), { decodedBytes }).content.length, decodedBytes);
      } catch (thrown) {
        assert.equal((thrown as { code?: unknown }).code, "input.invalid");
      }
    }),
  );
});
