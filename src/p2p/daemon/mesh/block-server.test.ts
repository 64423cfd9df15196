import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { suite, test } from "node:test";
import { aMeshNode, blocksOf, ByHand, contentOf, factsOf, meshContent, turnsUntil } from "../../../../test/kit/mesh.ts";
import type { MeshNode, MeshNodeOptions } from "../../../../test/kit/mesh.ts";
import { randomBytesOf, rawConnection } from "../../../../test/kit/transfer.ts";
import { createRandom } from "../../../base/random.ts";
import { VirtualClock } from "../../../base/virtual-clock.ts";
import { pieceOf } from "../../pieces/piece-store.conformance.ts";
import {
  decodeEnd,
  decodeFrameHeader,
  decodePieceStart,
  encodeRunHead,
  encodeCancel,
  encodeEnd,
  encodeGreeting,
  encodeNews,
  encodePieceStart,
  encodeRequest,
  FRAME_HEADER_BYTES,
} from "../../../wire/mesh/frames.ts";
import { MeshUpdate } from "../../../wire/grpc/gen/anax/v1/peer.ts";
import type { Outgoing } from "./outgoing.ts";

const content = meshContent();
const HOST_ID = "10.0.0.9-raw";
const GREETING = encodeGreeting(HOST_ID);

const aNode = (scope: AsyncDisposableStack, options: Partial<MeshNodeOptions> = {}): Promise<MeshNode> =>
  aMeshNode(scope, { content, whole: true, authority: false, ...options });

const request = (stream: number, piece: number): Buffer => encodeRequest({ stream, taskId: content.meta.id, piece, orAnother: false });

/** A piece begins to come to a relay, of which the source knows the hashes. */
const arriving = async (relay: MeshNode, piece: number, source: MeshNode): Promise<ByHand> =>
  new ByHand(relay, piece, (await source.feed.proofOf(factsOf(content, piece)))!);

interface Frame {
  readonly name: string;
  readonly stream: number;
  readonly payload: Buffer;
}

/** A neighbour that is played by hand. */
class Raw implements Disposable {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  bytes = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once("end", resolve).once("close", resolve));
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => (this.bytes = Buffer.concat([this.bytes, chunk])));
  }

  /** Complete frames that have come. */
  get frames(): Frame[] {
    const frames: Frame[] = [];
    for (let at = 0; at + FRAME_HEADER_BYTES <= this.bytes.length;) {
      const { type, stream, lengthBytes } = decodeFrameHeader(this.bytes.subarray(at));
      const payload = this.bytes.subarray(at + FRAME_HEADER_BYTES, at + FRAME_HEADER_BYTES + lengthBytes);
      if (payload.length < lengthBytes) break;
      const name = type === "end" ? `end ${decodeEnd(payload)}` : type;
      frames.push({ name, stream, payload });
      at += FRAME_HEADER_BYTES + lengthBytes;
    }
    return frames;
  }

  get names(): string[] {
    return this.frames.map(({ name, stream }) => `${name} ${stream}`);
  }

  until(count: number): Promise<void> {
    return turnsUntil(() => this.frames.length >= count);
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

async function greeted({ address }: MeshNode, ...frames: readonly Buffer[]): Promise<Raw> {
  const raw = new Raw(await rawConnection(address.port));
  raw.socket.write(Buffer.concat([GREETING, ...frames]));
  return raw;
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

test("the dialogue, byte by byte, wherever it is cut", async () => {
  await using scope = new AsyncDisposableStack();
  const node = await aNode(scope);
  for (const cut of [1, 2, 7, GREETING.length - 1, GREETING.length + 3, GREETING.length + 20]) {
    using raw = new Raw(await rawConnection(node.address.port));
    const bytes = Buffer.concat([GREETING, request(9, 3)]);
    raw.socket.write(bytes.subarray(0, cut));
    await turns(5);
    raw.socket.write(bytes.subarray(cut));
    await raw.until(3);
    const [start, ...runs] = raw.frames;
    const facts = factsOf(content, 3);
    assert.deepEqual(decodePieceStart({ type: "piece", flags: 0, stream: 9, lengthBytes: 16 }, start!.payload), {
      ...facts,
      stream: 9,
      proof: undefined,
    });
    assert.ok(Buffer.concat(runs.map(({ payload }) => payload)).equals(Buffer.concat(blocksOf(content, 3))));
    assert.deepEqual(raw.names, ["piece 9", "run 9", "run 9"]);
  }
});

test("pieces asked for together come a run of blocks of each in turn, and the stream's number is free after the last", async () => {
  await using scope = new AsyncDisposableStack();
  const large = contentOf(randomBytesOf(6 * 1024 * 1024), 2 * 1024 * 1024);
  const node = await aMeshNode(scope, { content: large, whole: true, authority: false });
  const ask = (stream: number, piece: number): Buffer => encodeRequest({ stream, taskId: large.meta.id, piece, orAnother: false });
  using raw = await greeted(node, ask(0, 0), ask(1, 1));
  await raw.until(18);
  const runs = raw.frames.filter(({ name }) => name === "run");
  assert.deepEqual(
    runs.map(({ stream }) => stream),
    Array.from({ length: 16 }, (_, i) => i % 2),
  );
  for (const stream of [0, 1]) {
    const got = Buffer.concat(runs.filter((run) => run.stream === stream).map(({ payload }) => payload));
    assert.ok(got.equals(pieceOf(large, stream)));
  }
  raw.socket.write(ask(0, 2));
  await raw.until(27);
  await turnsUntil(() => node.slots.inUse === 0);
});

suite("a neighbour is dropped, and nothing of it is left, when it", () => {
  const rows: readonly (readonly [string, ...Buffer[]])[] = [
    ["speaks another version", Buffer.from(GREETING.toString("latin1").replace("/2", "/9"), "latin1")],
    ["has a name without end", Buffer.concat([Buffer.from([0, 160, 0xff, 0xff, 0xff, 0xff])])],
    ["sends an unknown frame", GREETING, Buffer.from("0300000000000000", "hex")],
    ["sends a request of another length", GREETING, Buffer.from("01000000ffffffff", "hex")],
    ["sends a cancel with a payload", GREETING, Buffer.from("0200000000000001", "hex")],
    ["sends a piece", GREETING, encodePieceStart({ stream: 0, piece: 0, lengthBytes: 1, blockBytes: 1, crc32: 0, proof: undefined })],
    ["sends blocks", GREETING, encodeRunHead(0, 10)],
    ["sends an end", GREETING, encodeEnd(0, "done")],
    ["greets twice", GREETING, GREETING],
    ["speaks HTTP", GREETING, Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["uses a stream twice", GREETING, request(7, 0), request(7, 1)],
    ["closes its side", GREETING],
  ];
  for (const [title, ...bytes] of rows) {
    test(title, async () => {
      await using scope = new AsyncDisposableStack();
      const node = await aNode(scope);
      using raw = new Raw(await rawConnection(node.address.port));
      raw.socket.write(Buffer.concat(bytes));
      if (title === "closes its side") raw.socket.end();
      await raw.closed;
      await turnsUntil(() => node.servedConnections() === 0 && node.slots.inUse === 0);
      assert.ok(!node.stored.inUse.includes("upload"));
    });
  }
});

test("random bytes never hang a connection nor harm another one", async () => {
  await using scope = new AsyncDisposableStack();
  const node = await aNode(scope, { transfer: { uploadRequestMs: "50ms", uploadIdleMs: "50ms", uploadStallMs: "50ms" } });
  const random = createRandom(17);
  for (let round = 0; round < 40; round++) {
    const bytes = Buffer.from(Array.from({ length: random.below(200) }, () => random.below(256)));
    const good = Buffer.concat([request(random.below(3), random.below(6)), encodeCancel(random.below(3))]);
    if (round % 3 === 0) good[random.below(good.length)] = random.below(256);
    const start = round % 4 === 0 ? GREETING.subarray(0, random.below(GREETING.length)) : GREETING;
    using raw = new Raw(await rawConnection(node.address.port));
    raw.socket.write(Buffer.concat(round % 2 === 0 ? [start, good, bytes] : [start, bytes, good]));
    await raw.closed; // for what it said, or at its deadline
  }
  using raw = await greeted(node, request(1, 0));
  await raw.until(2);
  await turnsUntil(() => node.slots.inUse === 0);
});

test("a greeting that drips in is cut off at its deadline, which no byte prolongs", async () => {
  await using scope = new AsyncDisposableStack();
  const clock = new VirtualClock();
  const node = await aNode(scope, { clock, transfer: { uploadRequestMs: "10s" } });
  using raw = new Raw(await rawConnection(node.address.port));
  let at = 0;
  while (!raw.socket.destroyed) {
    assert.ok(at < 8, "24 seconds");
    raw.socket.write(GREETING.subarray(at, ++at));
    await turns(20);
    await clock.advance(3000);
    await turns(20);
  }
});

suite("a connection without a piece on its way is closed after its time", () => {
  for (const [title, bytes] of [
    ["when it is silent", Buffer.alloc(0)],
    ["when a request of it never ends", request(0, 0).subarray(0, 20)],
  ] as const) {
    test(title, async () => {
      await using scope = new AsyncDisposableStack();
      const clock = new VirtualClock();
      const node = await aNode(scope, { clock, transfer: { uploadIdleMs: "60s" } });
      using raw = await greeted(node, request(5, 0));
      await raw.until(2);
      await turns(20);
      await clock.advance(59_000);
      raw.socket.write(Buffer.concat([request(6, 1), bytes]));
      await raw.until(4);
      await turns(20);
      await clock.advance(59_000);
      assert.equal(node.servedConnections(), 1, "it was used in between");
      await clock.advance(1000);
      await raw.closed;
    });
  }
});

test("a neighbour that waits for a piece which is still arriving is not idle", async () => {
  await using scope = new AsyncDisposableStack();
  const clock = new VirtualClock();
  const source = await aNode(scope, { authority: true });
  const relay = await aNode(scope, { whole: false, clock });
  const hand = await arriving(relay, 1, source);
  using raw = await greeted(relay, request(0, 1));
  await turnsUntil(() => relay.slots.inUse === 1);
  await turns(20);
  await clock.advance(600_000);
  assert.deepEqual(raw.names, [], "what it is, is told with the first block");
  await hand.rest();
  await raw.until(2);
});

test("a neighbour that takes no bytes is dropped, its slot and its lease are free again", async () => {
  await using scope = new AsyncDisposableStack();
  const clock = new VirtualClock();
  const large = contentOf(randomBytesOf(30_000_000), 30_000_000);
  const node = await aMeshNode(scope, {
    content: large,
    whole: true,
    authority: false,
    clock,
    transfer: { uploadStallMs: "30s", uploadIdleMs: "10m" },
  });
  using raw = new Raw(await rawConnection(node.address.port));
  raw.socket.pause();
  raw.socket.write(Buffer.concat([GREETING, encodeRequest({ stream: 0, taskId: large.meta.id, piece: 0, orAnother: false })]));
  await turnsUntil(() => node.slots.inUse === 1);
  await turns(100);
  await clock.advance(29_000);
  assert.equal(node.servedConnections(), 1);
  for (let waited = 0; node.servedConnections() > 0; waited++) {
    assert.ok(waited < 60, "a minute after its last byte");
    await turns(20);
    await clock.advance(1000);
  }
  assert.equal(node.slots.inUse, 0);
  assert.ok(!node.stored.inUse.includes("upload"));
});

test("a neighbour that asks and asks and does not listen is dropped before the answers fill the memory", async () => {
  await using scope = new AsyncDisposableStack();
  const clock = new VirtualClock(); // no deadline ends this
  const node = await aNode(scope, { clock });
  using raw = new Raw(await rawConnection(node.address.port));
  raw.socket.pause();
  raw.socket.write(GREETING);
  const flood = Buffer.concat(Array.from({ length: 0x1_0000 }, (_, stream) => request(stream, 9_999)));
  for (let sent = 0; !raw.socket.destroyed; sent++) {
    assert.ok(sent < 60, "four million requests");
    await new Promise<void>((resolve) => raw.socket.write(flood, () => resolve()));
    await turns(1);
  }
  await turnsUntil(() => node.servedConnections() === 0);
});

suite("of what a neighbour asks for", () => {
  test("more than so many pieces at once are refused", async () => {
    await using scope = new AsyncDisposableStack();
    const source = await aNode(scope, { authority: true });
    const relay = await aNode(scope, { whole: false, slots: 1000 });
    await arriving(relay, 1, source);
    using raw = await greeted(relay, ...Array.from({ length: 40 }, (_, stream) => request(stream, 1)));
    await raw.until(8);
    assert.deepEqual(
      raw.names,
      Array.from({ length: 8 }, (_, i) => `end busy ${32 + i}`),
    );
    raw.socket.write(encodeCancel(3));
    await raw.until(9);
    assert.equal(raw.names.at(-1), "end gone 3");
    assert.equal(relay.slots.inUse, 31);
    raw.socket.write(request(100, 1));
    await turnsUntil(() => relay.slots.inUse === 32);
  });

  test("its news are heard as its own; such as cannot be read end the connection", async () => {
    await using scope = new AsyncDisposableStack();
    const heard: unknown[] = [];
    const node = await aNode(scope, {
      admission: (ordinary) => ({ ...ordinary, onNews: (taskId, { held }, hostId) => void heard.push([taskId, held, hostId]) }),
    });
    const taskId = "ab".repeat(32);
    const update = MeshUpdate.encode(MeshUpdate.fromPartial({ held: [3] })).finish();
    using raw = await greeted(node, encodeNews({ taskId, update }));
    await turnsUntil(() => heard.length === 1);
    assert.deepEqual(heard, [[taskId, [3], HOST_ID]]);
    raw.socket.write(encodeNews({ taskId, update: Buffer.from([0x0a, 0x7f]) })); // a list that is longer than the frame
    await raw.closed;
    assert.equal(heard.length, 1);
  });

  test("what it cancels before it is decided about ends as gone, and costs nothing", async () => {
    await using scope = new AsyncDisposableStack();
    const gate = Promise.withResolvers<void>();
    const decided: (Outgoing | string)[] = [];
    const node = await aNode(scope, {
      admission: (ordinary) => ({
        ...ordinary,
        admit: async (asked, hostId, signal) => {
          if (asked.piece === 1) await gate.promise;
          const outcome = await ordinary.admit(asked, hostId, signal);
          decided.push(outcome);
          return outcome;
        },
      }),
    });
    using raw = await greeted(node, request(0, 1), request(1, 9), encodeCancel(0), encodeCancel(77), request(2, 9));
    await raw.until(2);
    assert.deepEqual(raw.names, ["end not-found 1", "end not-found 2"]);
    gate.resolve();
    await raw.until(3);
    assert.equal(raw.names.at(-1), "end gone 0");
    assert.notEqual(typeof decided[2], "string");
    assert.equal(node.slots.inUse, 0);
  });

  test("what is decided after it has left costs nothing either", async () => {
    await using scope = new AsyncDisposableStack();
    const gate = Promise.withResolvers<void>();
    let decided = 0;
    const node = await aNode(scope, {
      admission: (ordinary) => ({
        ...ordinary,
        admit: async (asked, hostId, signal) => {
          await gate.promise;
          const outcome = await ordinary.admit(asked, hostId, signal);
          decided++;
          return outcome;
        },
      }),
    });
    const raw = await greeted(node, request(0, 1));
    await turnsUntil(() => node.servedConnections() === 1);
    raw.socket.destroy();
    await turnsUntil(() => node.servedConnections() === 0);
    gate.resolve();
    await turnsUntil(() => decided === 1);
    await turns(5);
    assert.equal(node.slots.inUse, 0);
    assert.ok(!node.stored.inUse.includes("upload"));
  });
});

test("when it stops, connections end at once, and neither timers nor leases are left", async () => {
  const scope = new AsyncDisposableStack();
  await using outer = new AsyncDisposableStack();
  const clock = new VirtualClock();
  const source = await aNode(outer, { authority: true });
  const relay = await aNode(scope, { whole: false, clock });
  await arriving(relay, 1, source);
  using waiting = await greeted(relay, request(0, 1));
  using idle = await greeted(relay);
  using silent = new Raw(await rawConnection(relay.address.port));
  await turnsUntil(() => relay.slots.inUse === 1 && relay.servedConnections() === 2);
  await scope.disposeAsync();
  await Promise.all([waiting, idle, silent].map(({ closed }) => closed));
  assert.equal(relay.slots.inUse, 0);
  assert.equal(clock.pending, 0);
});
