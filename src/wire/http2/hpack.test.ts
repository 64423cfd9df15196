import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http2";
import { connect, type AddressInfo } from "node:net";
import { test } from "node:test";
import { encodeFrame, encodeSettings, createFrameParser, FLAG, FRAME, PREFACE, SETTING } from "./frames.ts";
import { decodeHeaders, encodeHeaders, type HeaderField } from "./hpack.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

test("header blocks of the standard are read", () => {
  // RFC 7541, C.4.1 and C.6.1: with Huffman codes; and C.2.1: a literal with a new name.
  assert.deepEqual(decodeHeaders(hex("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff")), [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "www.example.com"],
  ]);
  const answer =
    "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
  assert.deepEqual(decodeHeaders(hex(answer)), [
    [":status", "302"],
    ["cache-control", "private"],
    ["date", "Mon, 21 Oct 2013 20:13:21 GMT"],
    ["location", "https://www.example.com"],
  ]);
  assert.deepEqual(decodeHeaders(hex("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572")), [
    ["custom-key", "custom-header"],
  ]);
});

test("what is encoded is decoded again, however long", () => {
  const fields: readonly HeaderField[] = [
    [":path", "/dfdaemon.v2.DfdaemonDownload/DownloadTask"],
    ["empty", ""],
    ...[126, 127, 128, 254, 255, 300, 20_000].map((length): HeaderField => [`x-${length}`, "y".repeat(length)]),
  ];
  assert.deepEqual(decodeHeaders(encodeHeaders(fields)), fields);
});

test("every character that a header may have is read as another implementation writes it", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const codes = Array.from({ length: 256 }, (_, code) => code).filter((code) => code === 9 || (code >= 32 && code !== 127));
  // One field each, repeated: nghttp2 uses its Huffman code only where that is shorter.
  const fields = codes.map((code) => [`x-${code}`, `aaaaaaaaaaaaaaaaaaaaaaaaaaaa${String.fromCharCode(code)}aaaa`] as const);
  server.on("stream", (stream) => {
    stream.respond(Object.fromEntries(fields), { endStream: true });
  });
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1"); // listening on TCP
  const request = encodeHeaders([
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "x"],
  ]);
  socket.write(Buffer.concat([PREFACE, encodeSettings([[SETTING.headerTableSize, 0]])]));
  socket.write(encodeFrame({ type: FRAME.headers, flags: FLAG.endHeaders | FLAG.endStream, streamId: 1, payload: request }));
  const parser = createFrameParser();
  const block: Uint8Array[] = [];
  for await (const chunk of socket) {
    const parts = parser.feed(chunk as Buffer).filter(({ type }) => type === FRAME.headers || type === FRAME.continuation);
    block.push(...parts.map(({ payload }) => payload));
    if (parts.some(({ flags }) => (flags & FLAG.endHeaders) !== 0)) break;
  }
  server.close();
  const found = new Map(decodeHeaders(Buffer.concat(block)));
  for (const [name, value] of fields) assert.equal(found.get(name), Buffer.from(value, "latin1").toString("latin1"), name);
});

for (const [what, block] of [
  ["an index of nothing", "80"],
  ["an index that no table has", "be"],
  ["a name that no table has", "7e 00"],
  ["a table larger than was allowed", "3f e1 1f"],
  ["a length beyond the block", "00 0a 61"],
  ["a number without end", "ff ff ff ff ff ff ff"],
  ["a block that ends inside of a field", "00 01 61"],
  ["a Huffman code with the end mark", "00 84 ff ff ff ff 01 61"],
  ["a Huffman code filled up with zeroes", "00 81 18 01 61"],
  ["a Huffman code filled up with a whole byte", "00 82 1f ff 01 61"],
] as const) {
  test(`a header block is refused: ${what}`, () => {
    assert.throws(() => decodeHeaders(hex(block)), { code: "rpc.internal" });
  });
}
