import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { suite, test } from "node:test";
import { crc32 } from "node:zlib";
import { hasCode } from "../../../../test/kit/errors.ts";
import { TASK_ID, addressOf, fetchPiece, never, openClient, playParent, randomBytesOf } from "../../../../test/kit/transfer.ts";
import type { ErrorCode } from "../../../base/errors.ts";
import { createRandom } from "../../../base/random.ts";
import { VirtualClock } from "../../../base/virtual-clock.ts";
import { encodeClose, encodeError, encodePieceContentHead, type PieceMetadata } from "../../../wire/vortex/codec.ts";
import { createRequestParser } from "../../../wire/vortex/request-parser.ts";

const BODY = randomBytesOf(200_000);

/** The head of a right answer, unless told otherwise. */
function headOf(number: number, other: Partial<PieceMetadata> = {}): Uint8Array {
  const digest = `crc32:${crc32(BODY)}`;
  const right = { number, offset: 0, length: BODY.length, digest, parentId: "p", trafficType: 1, costSeconds: 0, createdAtSeconds: 0 };
  return encodePieceContentHead({ kind: "standard", id: 0, ...right, ...other });
}

/** Calls back for each request on a connection that a test plays the parent of. */
function onRequests(socket: Socket, answer: (pieceNumber: number, place: number) => void): void {
  const parser = createRequestParser();
  let place = 0;
  socket.on("data", (chunk) => {
    for (const request of parser.feed(chunk)) if (request.type === "download") answer(request.pieceNumber, place++);
  });
}

interface Lie {
  readonly title: string;
  readonly code: ErrorCode;
  readonly answer: (socket: Socket, index: number) => void;
}

const LIES: readonly Lie[] = [
  { title: "bytes that are no answer", code: "vortex.malformed", answer: (socket) => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n") },
  { title: "another piece", code: "vortex.malformed", answer: (socket, index) => socket.write(headOf(index + 1)) },
  {
    title: "a huge metadata length",
    code: "vortex.malformed",
    answer: (socket) => socket.write(Buffer.from([0, 1, 0xff, 0xff, 0xff, 0xff])),
  },
  {
    title: "a length beyond every number",
    code: "vortex.malformed",
    answer: (socket, index) => socket.write(withLength(headOf(index), 2n ** 63n)),
  },
  {
    title: "a digest that is none",
    code: "vortex.malformed",
    answer: (socket, index) => socket.write(headOf(index, { digest: "crc32:many" })),
  },
  {
    title: "damaged bytes",
    code: "piece.digest-mismatch",
    answer: (socket, index) => socket.write(Buffer.concat([headOf(index), BODY.subarray(1), BODY.subarray(0, 1)])),
  },
  {
    title: "half a body",
    code: "rpc.unavailable",
    answer: (socket, index) => socket.end(Buffer.concat([headOf(index), BODY.subarray(0, 100_000)])),
  },
  { title: "half a head", code: "rpc.unavailable", answer: (socket, index) => socket.end(headOf(index).subarray(0, 20)) },
  {
    title: "a reset in the middle",
    code: "rpc.unavailable",
    answer: (socket, index) => socket.write(headOf(index), () => socket.resetAndDestroy()),
  },
  { title: "a goodbye", code: "rpc.unavailable", answer: (socket) => socket.write(encodeClose(0)) },
  { title: "error 2", code: "piece.not-found", answer: (socket) => socket.write(encodeError({ id: 0, code: 2, message: "no" })) },
  { title: "error 0", code: "vortex.remote", answer: (socket) => socket.write(encodeError({ id: 0, code: 0, message: "boom" })) },
];

suite("a parent that answers with", () => {
  for (const { title, code, answer } of LIES) {
    test(title, async () => {
      await using parent = await playParent((socket) => onRequests(socket, (index) => answer(socket, index)));
      await using client = openClient();
      await assert.rejects(fetchPiece(client, addressOf(parent), 3), hasCode(code));
      assert.equal(client.inFlight(addressOf(parent)), 0);
    });
  }
});

test("a parent that is not there", async () => {
  const parent = await playParent(() => {});
  const address = addressOf(parent);
  await parent[Symbol.asyncDispose]();
  await using client = openClient();
  await assert.rejects(Promise.all([0, 1, 2].map((index) => fetchPiece(client, address, index))), hasCode("rpc.unavailable"));
});

test("random answers end every fetch", async () => {
  const random = createRandom(5);
  await using parent = await playParent((socket) => {
    onRequests(socket, (index) => {
      const right = Buffer.concat([headOf(index), BODY]);
      for (let flips = random.below(4); flips > 0; flips--)
        right[random.below(random.below(2) === 0 ? 150 : right.length)] = random.below(256);
      const noise = Buffer.from(Array.from({ length: random.below(100) }, () => random.below(256)));
      const cut = random.below(2) === 0 ? right.length : random.below(right.length);
      socket.end(Buffer.concat([right.subarray(0, cut), noise]));
    });
  });
  await using client = openClient({ fetchHeadMs: "2s", fetchStallMs: "2s" });
  for (let round = 0; round < 30; round++) {
    const outcomes = await Promise.allSettled([1, 2, 3].map((index) => fetchPiece(client, addressOf(parent), index)));
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") continue;
      const { writer, receipt } = outcome.value;
      assert.equal(writer.bytes.length, receipt.head.lengthBytes);
      assert.ok(receipt.head.crc32 === undefined || crc32(writer.bytes) === receipt.head.crc32);
    }
  }
});

test("requests behind a broken one are asked again on a new connection, once", async () => {
  let connections = 0;
  await using parent = await playParent((socket) => {
    const place = connections++;
    onRequests(socket, (index) => {
      if (place === 0 && index === 0) socket.end(Buffer.concat([headOf(0), BODY.subarray(0, 10)]));
      else if (place > 0) socket.write(Buffer.concat([headOf(index), BODY]));
    });
  });
  await using client = openClient({ fetchConnectionsPerParent: 1 });
  const [broken, ...rest] = await Promise.allSettled([0, 1, 2].map((index) => fetchPiece(client, addressOf(parent), index)));
  assert.ok(broken?.status === "rejected" && hasCode("rpc.unavailable")(broken.reason));
  assert.deepEqual(
    rest.map(({ status }) => status),
    ["fulfilled", "fulfilled"],
  );
  assert.equal(connections, 2);
});

test("a parent that always closes is not asked for ever", async () => {
  let connections = 0;
  await using parent = await playParent((socket) => {
    connections++;
    socket.once("data", () => socket.destroy());
  });
  await using client = openClient();
  await assert.rejects(fetchPiece(client, addressOf(parent), 0), hasCode("rpc.unavailable"));
  assert.equal(connections, 2);
});

suite("a parent that falls silent", () => {
  const cases = [
    { title: "before its answer", bytes: Buffer.alloc(0), afterMs: 20_000 },
    { title: "within a head", bytes: headOf(0).subarray(0, 30), afterMs: 20_000 },
    { title: "within a body", bytes: Buffer.concat([headOf(0), BODY.subarray(0, 50_000)]), afterMs: 10_000 },
  ];
  for (const { title, bytes, afterMs } of cases) {
    test(title, async () => {
      const clock = new VirtualClock();
      const sent = Promise.withResolvers<void>();
      await using parent = await playParent((socket) => onRequests(socket, () => socket.write(bytes, () => sent.resolve())));
      await using client = openClient({ fetchHeadMs: "20s", fetchStallMs: "10s" }, clock);
      const fetching = assert.rejects(fetchPiece(client, addressOf(parent), 0), hasCode("rpc.unavailable"));
      await sent.promise;
      await turns(20);
      await clock.advance(afterMs);
      await fetching;
    });
  }
});

test("a body that drips is cut off by the caller's signal, and a connection that would bring much more is closed", async () => {
  const closed = Promise.withResolvers<void>();
  const dripping = Promise.withResolvers<void>();
  await using parent = await playParent((socket) => {
    socket.once("close", () => closed.resolve());
    onRequests(socket, (index) =>
      socket.write(Buffer.concat([headOf(index, { length: 50_000_000 }), BODY.subarray(0, 1)]), () => dripping.resolve()),
    );
  });
  await using client = openClient();
  const abort = new AbortController();
  const fetching = assert.rejects(fetchPiece(client, addressOf(parent), 0, abort.signal), /enough/);
  await dripping.promise;
  await turns(10);
  abort.abort(new Error("enough"));
  await fetching;
  await closed.promise;
});

test("little that is left of an aborted piece is read away, and the connection goes on", async () => {
  let connections = 0;
  const rest = Promise.withResolvers<() => void>();
  await using parent = await playParent((socket) => {
    connections++;
    onRequests(socket, (index, place) => {
      if (place > 0) return void socket.write(Buffer.concat([headOf(index), BODY]));
      socket.write(Buffer.concat([headOf(index), BODY.subarray(0, 150_000)]));
      rest.resolve(() => void socket.write(BODY.subarray(150_000)));
    });
  });
  await using client = openClient({ fetchConnectionsPerParent: 1, fetchBufferBytes: "64KiB" });
  const abort = new AbortController();
  const first = assert.rejects(fetchPiece(client, addressOf(parent), 0, abort.signal), /enough/);
  const sendRest = await rest.promise;
  await turns(20);
  abort.abort(new Error("enough"));
  await first;
  const second = fetchPiece(client, addressOf(parent), 1);
  sendRest();
  assert.ok((await second).writer.bytes.equals(BODY));
  assert.equal(connections, 1);
});

test("a writer that fails fails its piece alone", async () => {
  await using parent = await playParent((socket) => onRequests(socket, (index) => socket.write(Buffer.concat([headOf(index), BODY]))));
  await using client = openClient({ fetchConnectionsPerParent: 1, fetchBufferBytes: "64KiB" });
  let aborted = 0;
  const full = {
    inPlace: true,
    writeNow: () => false,
    write: () => Promise.reject(new Error("disk full")),
    finish: () => Promise.reject(new Error("never")),
    abort: () => void aborted++,
  };
  const failing = client.fetch({ parent: addressOf(parent), taskId: TASK_ID, index: 0, open: () => full, signal: never });
  const other = fetchPiece(client, addressOf(parent), 1);
  await assert.rejects(failing, /disk full/);
  assert.equal(aborted, 1);
  assert.ok((await other).writer.bytes.equals(BODY));
});

test("a slow writer slows the parent down instead of filling memory", async () => {
  const big = randomBytesOf(24_000_000);
  await using parent = await playParent((socket) =>
    onRequests(socket, (index) => {
      socket.write(headOf(index, { length: big.length, digest: "" }));
      socket.write(big);
    }),
  );
  await using client = openClient({ fetchBufferBytes: "64KiB", fetchBuffersMax: 1 });
  const gate = Promise.withResolvers<void>();
  let written = 0;
  const slow = {
    inPlace: true,
    writeNow: () => false,
    write: async (chunk: Uint8Array) => {
      await gate.promise;
      written += chunk.length;
    },
    finish: () => Promise.resolve("stored" as const),
    abort: () => {},
  };
  const before = process.memoryUsage().arrayBuffers;
  const fetching = client.fetch({ parent: addressOf(parent), taskId: TASK_ID, index: 0, open: () => slow, signal: never });
  await turns(200);
  assert.ok(process.memoryUsage().arrayBuffers - before < 4_000_000);
  gate.resolve();
  await fetching;
  assert.equal(written, big.length);
});

test("an unused connection is closed after its time", async () => {
  const clock = new VirtualClock();
  const closed = Promise.withResolvers<void>();
  await using parent = await playParent((socket) => {
    socket.once("close", () => closed.resolve());
    onRequests(socket, (index) => socket.write(Buffer.concat([headOf(index), BODY])));
  });
  await using client = openClient({ fetchIdleMs: "30s" }, clock);
  await fetchPiece(client, addressOf(parent), 0);
  await clock.advance(30_000);
  await closed.promise;
  await turns(5);
  assert.equal(clock.pending, 0);
});

test("a foreign parent gets exactly one request per connection", async () => {
  const requests: number[] = [];
  await using parent = await playParent((socket, place) => {
    requests[place] = 0;
    onRequests(socket, (index) => {
      requests[place]!++; // set above
      socket.end(Buffer.concat([headOf(index), BODY]));
    });
  });
  await using client = openClient();
  await Promise.all(Array.from({ length: 20 }, (_, index) => fetchPiece(client, addressOf(parent, false), index)));
  assert.deepEqual(
    requests,
    Array.from({ length: 20 }, () => 1),
  );
});

test("nothing keeps the process alive once a client is disposed", async () => {
  const closed = Promise.withResolvers<void>();
  await using parent = await playParent((socket) => {
    socket.once("close", () => closed.resolve());
    onRequests(socket, (index) => socket.write(Buffer.concat([headOf(index), BODY])));
  });
  const clock = new VirtualClock();
  const client = openClient({}, clock);
  await fetchPiece(client, addressOf(parent), 0);
  await client[Symbol.asyncDispose]();
  await closed.promise;
  assert.equal(clock.pending, 0);
});

/** Overwrites the length field: header 6, metadata length 4, number 4, offset 8. */
function withLength(head: Uint8Array, length: bigint): Uint8Array {
  const changed = Buffer.from(head);
  changed.writeBigUInt64BE(length, 22);
  return changed;
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

test("a request on the wire is 74 bytes with the task's name in it", async () => {
  const came = Promise.withResolvers<Buffer>();
  await using parent = await playParent((socket) => void once(socket, "data").then(([chunk]) => came.resolve(chunk as Buffer)));
  await using client = openClient();
  const abort = new AbortController();
  const fetching = assert.rejects(fetchPiece(client, addressOf(parent), 258, abort.signal));
  const bytes = await came.promise;
  abort.abort(new Error("seen"));
  await fetching;
  assert.deepEqual(bytes.subarray(1), Buffer.concat([Buffer.from([0, 0, 0, 0, 68]), Buffer.from(TASK_ID), Buffer.from([0, 0, 1, 2])]));
});
