import assert from "node:assert/strict";
import { chmod, open } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { suite, test } from "node:test";
import { aDownload, attached, sha256Of, startTestDaemon, startTestScheduler, until, type TestDaemon } from "../../../../test/kit/daemon.ts";
import { sha256OfGenerated } from "../../../../test/kit/generated-content.ts";
import { startOrigin } from "../../../../test/kit/origin.ts";
import { playParent } from "../../../../test/kit/transfer.ts";
import { AnaxError } from "../../../base/errors.ts";
import { MeshMessage, MeshUpdate, PeerService } from "../../../wire/grpc/gen/anax/v1/peer.ts";
import {
  ANY_PIECE,
  decodeFrameHeader,
  decodeGreeting,
  decodeNews,
  encodeGreeting,
  encodeRequest,
  FRAME_HEADER_BYTES,
} from "../../../wire/mesh/frames.ts";
import type { BidiStream } from "../../../wire/grpc/client.ts";

// Neighbours that are played by hand and say what no daemon of ours would.

const MIB = 1024 * 1024;
const CONTENT = { bytes: 2 * MIB + 11, seed: 81 };
const PIECES = 9;
const LAYOUT = { contentLength: CONTENT.bytes, pieceLength: MIB / 4 };
const never = new AbortController().signal;
const HOST = "127.0.0.1-by-hand";
const PEER = `${HOST}-0b7e8b9a-5a26-4f7e-8d0c-9c2b1f6d3a55`;

const hello = (taskId: string, more: object = {}): MeshMessage =>
  MeshMessage.fromPartial({ message: { $case: "hello", value: { taskId, peerId: PEER, hostId: HOST, transferPort: 9, ...more } } });

const contentOf = (more: object = {}): MeshMessage =>
  MeshMessage.fromPartial({ message: { $case: "content", value: { ...LAYOUT, ...more } } });

const updateOf = (more: object): MeshMessage => MeshMessage.fromPartial({ message: { $case: "update", value: more } });

/** A stream to a daemon, by which a stranger becomes its neighbour. */
class ByHand implements Disposable {
  readonly heard: MeshMessage[] = [];
  /** The code with which the daemon ended the stream; "ok" when it just ended it. */
  readonly ended: Promise<string>;
  readonly #stream: BidiStream<MeshMessage, MeshMessage>;

  constructor(daemon: TestDaemon) {
    this.#stream = daemon.upload.bidi(PeerService.mesh, { signal: never });
    this.ended = this.#listen();
  }

  async say(...messages: readonly MeshMessage[]): Promise<void> {
    for (const message of messages) await this.#stream.send(message).catch(() => undefined); // its end says why
  }

  /** Resolves with what the daemon has of the content, once it has said so. */
  async greeted(): Promise<void> {
    await until(() => this.heard.length > 0);
  }

  async #listen(): Promise<string> {
    try {
      for await (const message of this.#stream.responses) this.heard.push(message);
      return "ok";
    } catch (thrown) {
      return thrown instanceof AnaxError ? thrown.code : String(thrown);
    }
  }

  [Symbol.dispose](): void {
    this.#stream[Symbol.dispose]();
  }
}

/** A daemon that has the content, and no scheduler. */
async function aHolder(scope: AsyncDisposableStack, mesh: Readonly<Record<string, unknown>> = {}) {
  const origin = scope.use(await startOrigin({ content: { "/file": CONTENT } }));
  const daemon = scope.use(await startTestDaemon({ name: "holder", mesh, config: { syncWaitMs: "100ms" } }));
  const download = scope.use(daemon.daemon.downloads.start(aDownload(origin.url("/file"))));
  await download.done;
  return { daemon, taskId: download.taskId };
}

suite("a stream is ended, with the reason, when it", () => {
  const rows: readonly (readonly [string, string, (taskId: string) => readonly MeshMessage[]])[] = [
    ["begins with what is no hello", "input.invalid", () => [updateOf({})]],
    ["begins with nothing", "input.invalid", () => [MeshMessage.fromPartial({})]],
    ["names no task", "input.invalid", () => [hello("")]],
    ["names a peer with a line break", "input.invalid", (task) => [hello(task, { peerId: "a\nb" })]],
    ["names no host", "input.invalid", (task) => [hello(task, { hostId: "" })]],
    ["names no port", "input.invalid", (task) => [hello(task, { transferPort: 0 })]],
    ["names a port that cannot be", "input.invalid", (task) => [hello(task, { transferPort: 65_536 })]],
    ["is about a task that is not here", "task.not-found", () => [hello("a".repeat(64))]],
    ["tells news before the content", "input.invalid", (task) => [hello(task), updateOf({ held: [1] })]],
    ["has too many headers", "input.invalid", (task) => [hello(task), contentOf({ responseHeader: manyHeaders() })]],
  ];
  for (const [title, code, messages] of rows) {
    test(title, async () => {
      await using scope = new AsyncDisposableStack();
      const { daemon, taskId } = await aHolder(scope);
      using byHand = new ByHand(daemon);
      await byHand.say(...messages(taskId));
      assert.equal(await byHand.ended, code);
    });
  }
});

const manyHeaders = (): Record<string, string> => Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`x-${i}`, ""]));

test("a neighbour with another version of the content is not one, and not when it comes again", async () => {
  await using scope = new AsyncDisposableStack();
  const { daemon, taskId } = await aHolder(scope);
  using other = new ByHand(daemon); // for whom the task is kept
  await other.say(hello(taskId, { peerId: `${HOST}-2`, hostId: `${HOST}-2` }));
  await other.greeted();
  using first = new ByHand(daemon);
  await first.say(hello(taskId), contentOf({ contentLength: CONTENT.bytes + 1, whole: true }));
  assert.equal(await first.ended, "ok");
  using again = new ByHand(daemon);
  await again.say(hello(taskId));
  assert.equal(await again.ended, "rpc.failed-precondition");
});

test("neighbours hear of a piece that turned out to be damaged", async () => {
  await using scope = new AsyncDisposableStack();
  const { daemon, taskId } = await aHolder(scope);
  using byHand = new ByHand(daemon);
  await byHand.say(hello(taskId));
  await byHand.greeted();
  await damage(daemon, 2);
  await until(() => byHand.heard.some(({ message }) => message?.$case === "update" && message.value.dropped.includes(2)));
});

/** Alters a piece on disk, and lets the daemon find out. */
async function damage(daemon: TestDaemon, piece: number): Promise<void> {
  const [stored] = daemon.store.list();
  await chmod(stored!.path, 0o600); // there is one
  const file = await open(stored!.path, "r+");
  await file.write("altered", piece * LAYOUT.pieceLength);
  await file.close();
  assert.equal(await stored!.quarantinePiece(piece), "dropped");
}

test("a neighbour that has answered hears news over the block connection, and all anew on the stream when that breaks", async () => {
  await using scope = new AsyncDisposableStack();
  const { daemon, taskId } = await aHolder(scope);
  const sockets: Socket[] = [];
  let heard = Buffer.alloc(0);
  const blocks = scope.use(
    await playParent((socket) => {
      sockets.push(socket.on("data", (chunk) => (heard = Buffer.concat([heard, chunk]))));
    }),
  );
  using byHand = new ByHand(daemon);
  await byHand.say(hello(taskId, { transferPort: blocks.port }), contentOf({ held: Buffer.from([1, 0]), generation: 7 }));
  await until(() => decodeGreeting(heard) !== undefined);
  await damage(daemon, 2);
  const news = () => newsIn(heard.subarray(decodeGreeting(heard)!.consumedBytes));
  const ofDamage = () => news().find(({ update }) => update.dropped.includes(2));
  await until(() => ofDamage() !== undefined);
  const { taskId: ofTask, update } = ofDamage()!; // was just seen
  assert.equal(ofTask, taskId);
  const { generation } = update;
  const contents = () => byHand.heard.flatMap(({ message }) => (message?.$case === "content" ? [message.value.generation] : []));
  await until(() => contents().includes(generation));
  const known = contents().length;
  sockets.at(-1)!.destroy(); // the one that was heard
  await until(() => contents().length > known);
});

/** What came as a whole; a frame may come in parts. */
function newsIn(bytes: Buffer): { readonly taskId: string; readonly update: MeshUpdate }[] {
  const news = [];
  for (let rest = bytes; rest.length >= FRAME_HEADER_BYTES;) {
    const { type, lengthBytes } = decodeFrameHeader(rest);
    const end = FRAME_HEADER_BYTES + lengthBytes;
    if (rest.length < end) break;
    assert.equal(type, "news");
    const { taskId, update } = decodeNews(rest.subarray(FRAME_HEADER_BYTES, end));
    news.push({ taskId, update: MeshUpdate.decode(update) });
    rest = rest.subarray(end);
  }
  return news;
}

/** Connects to where a daemon serves blocks; what comes is not read until the socket is resumed. */
function asksForBlocks(scope: AsyncDisposableStack, { transferPort }: TestDaemon, requests: readonly Buffer[]): Socket {
  const socket = connect(transferPort, "127.0.0.1");
  scope.defer(() => void socket.destroy());
  socket.on("error", () => {});
  socket.write(Buffer.concat([encodeGreeting(HOST), ...requests]));
  return socket;
}

/** All but the first piece, and many that are not. */
const LONG = Buffer.alloc(100_000, 0xff).fill(0xfe, 0, 1);

test("who has read the source through takes nothing back of what it then says to have", async () => {
  await using scope = new AsyncDisposableStack();
  const origin = scope.use(await startOrigin({ content: { "/file": CONTENT }, faults: { "/file": { bytesPerSecond: 4 * MIB } } }));
  // What it said of the last pieces that went out once waits for so long to be sent.
  const daemon = scope.use(await startTestDaemon({ name: "reader", mesh: { tickMs: "1s" } }));
  const download = scope.use(daemon.daemon.downloads.start(aDownload(origin.url("/file"))));
  const { taskId } = download;
  using byHand = new ByHand(daemon);
  await byHand.say(hello(taskId), contentOf());
  await byHand.greeted();
  const waits = Array.from({ length: PIECES }, (_, stream) => encodeRequest({ stream, taskId, piece: ANY_PIECE, orAnother: true }));
  asksForBlocks(scope, daemon, waits).resume();
  await download.done;
  await until(() => byHand.heard.some(({ message }) => message?.$case === "content" && !message.value.unique) && hasAll(byHand.heard));
  await damage(daemon, 0);
  const dropped = (): number[] => byHand.heard.slice(lastContent(byHand.heard)).flatMap(droppedOf);
  await until(() => dropped().includes(0));
  assert.deepEqual(dropped(), [0]);
});

/** By what it said last, and since. */
function hasAll(heard: readonly MeshMessage[]): boolean {
  const since = heard.slice(lastContent(heard)).map(({ message }) => message);
  const [content] = since.flatMap((message) => (message?.$case === "content" ? [message.value.held] : []));
  const news = since.flatMap((message) => (message?.$case === "update" ? message.value.held : []));
  return [...Array(PIECES).keys()].every((piece) => ((content![piece >>> 3]! >>> (piece & 7)) & 1) === 1 || news.includes(piece)); // there is one, of that length
}
const lastContent = (heard: readonly MeshMessage[]): number => heard.findLastIndex(({ message }) => message?.$case === "content");
const droppedOf = ({ message }: MeshMessage): readonly number[] => (message?.$case === "update" ? message.value.dropped : []);

test("who sends less than it said tells so, though it has nothing else to tell", async () => {
  await using scope = new AsyncDisposableStack();
  const { daemon, taskId } = await aHolder(scope, { reofferMs: "1m" });
  using byHand = new ByHand(daemon);
  await byHand.say(hello(taskId));
  await byHand.greeted();
  const asked = Array.from({ length: 4 }, (_, piece) => encodeRequest({ stream: piece, taskId, piece, orAnother: false }));
  const socket = asksForBlocks(scope, daemon, asked);
  await until(() => gauge(daemon, "anax_mesh_uploads_total") === 4);
  await damage(daemon, 8);
  await until(() => uploadsTold(byHand.heard).at(-1) === 4);
  socket.resume();
  await until(() => (uploadsTold(byHand.heard).at(-1) ?? 4) <= 2);
});

const uploadsTold = (heard: readonly MeshMessage[]): readonly number[] =>
  heard.flatMap(({ message }) => (message?.$case === "update" ? [message.value.uploads] : []));

test("a neighbour that says hello again is told everything anew", async () => {
  await using scope = new AsyncDisposableStack();
  const { daemon, taskId } = await aHolder(scope);
  using byHand = new ByHand(daemon);
  await byHand.say(hello(taskId));
  await byHand.greeted();
  const known = byHand.heard.length;
  await byHand.say(hello(taskId));
  await until(() => byHand.heard.slice(known).some(({ message }) => message?.$case === "content"));
});

test("a neighbour is asked to say anew what it has when something is missing that nobody is known to have, and nothing comes", async () => {
  await using scope = new AsyncDisposableStack();
  const origin = scope.use(await startOrigin({ content: { "/file": CONTENT }, faults: { "/file": { stallAfterBytes: MIB } } }));
  const daemon = scope.use(await startTestDaemon({ name: "stands", mesh: { stallMs: "50ms" } }));
  const download = scope.use(daemon.daemon.downloads.start(aDownload(origin.url("/file"))));
  download.done.catch(() => undefined); // it is given up
  using byHand = new ByHand(daemon);
  await byHand.say(hello(download.taskId), contentOf());
  await until(() => byHand.heard.some(({ message }) => message?.$case === "hello"));
});

suite("what a neighbour says that cannot be is passed over:", () => {
  const rows: readonly (readonly [string, readonly MeshMessage[]])[] = [
    ["bitmaps that are too long", [contentOf({ held: LONG, started: LONG })]],
    ["bitmaps that are too short", [contentOf()]],
    ["pieces beyond the last", [contentOf(), updateOf({ held: [PIECES, 0xffff_ffff], started: [PIECES], dropped: [PIECES, 0xffff_ffff] })]],
    ["pieces that it never had", [contentOf(), updateOf({ dropped: [1, 1, 2] })]],
    ["free slots without end", [contentOf(), updateOf({ freeSlots: 0xffff_ffff })]],
    ["a second hello", [contentOf(), hello("a".repeat(64))]],
  ];
  for (const [title, messages] of rows) {
    test(title, async () => {
      await using scope = new AsyncDisposableStack();
      const { daemon, taskId } = await aHolder(scope);
      using byHand = new ByHand(daemon);
      await byHand.say(hello(taskId));
      await byHand.greeted();
      await byHand.say(...messages);
      let ended = false;
      void byHand.ended.then(() => (ended = true));
      using second = new ByHand(daemon); // what it says comes after what the first has said
      await second.say(hello(taskId, { peerId: `${HOST}-2`, hostId: `${HOST}-2` }));
      await second.greeted();
      assert.equal(ended, false);
    });
  }
});

test("there are no more neighbours than there may be; one that leaves makes room", async () => {
  await using scope = new AsyncDisposableStack();
  const { daemon, taskId } = await aHolder(scope, { neighboursMax: 2 });
  const join = async (name: string): Promise<ByHand> => {
    const byHand = new ByHand(daemon);
    await byHand.say(hello(taskId, { peerId: `${HOST}-${name}`, hostId: `${HOST}-${name}` }));
    return byHand;
  };
  using first = await join("1");
  using second = await join("2");
  await first.greeted();
  await second.greeted();
  using third = await join("3");
  assert.equal(await third.ended, "limit.exceeded");
  using _again = await join("2"); // the same peer takes no further place
  first[Symbol.dispose]();
  await until(() => gauge(daemon, "anax_mesh_neighbours") === 1);
  using fourth = await join("4");
  await fourth.greeted();
});

/** As far as it is known; asked for again with each look. */
const seen = new Map<string, number>();
function gauge({ registry, dir }: TestDaemon, name: string): number | undefined {
  const key = `${dir} ${name}`;
  void Promise.resolve(registry.getSingleMetric(name)?.get()).then((found) => seen.set(key, found?.values[0]?.value ?? 0));
  return seen.get(key);
}

test("of two streams of one neighbour, each side having opened one, the second is told everything anew when the first breaks", async () => {
  await using scope = new AsyncDisposableStack();
  const { daemon, taskId } = await aHolder(scope);
  using first = new ByHand(daemon);
  await first.say(hello(taskId));
  await first.greeted();
  using second = new ByHand(daemon);
  await second.say(hello(taskId));
  await second.greeted();
  first[Symbol.dispose]();
  await until(() => second.heard.filter(({ message }) => message?.$case === "content").length === 2); // news on the first may be lost
});

suite("whoever downloads is not kept from it by a neighbour that announces what it has not:", () => {
  const rows: readonly (readonly [string, MeshMessage, (port: number) => number])[] = [
    ["nobody listens where it says", contentOf({ whole: true }), () => 9],
    ["it closes every connection", contentOf({ whole: true }), (port) => port],
    ["it has a layout that makes no sense", contentOf({ pieceLength: 0, whole: true }), () => 9],
    ["it has more pieces than may be", contentOf({ contentLength: 2 ** 50, pieceLength: 1, whole: true }), () => 9],
  ];
  for (const [title, lie, portOf] of rows) {
    test(title, async () => {
      await using scope = new AsyncDisposableStack();
      const origin = scope.use(await startOrigin({ content: { "/file": CONTENT } }));
      const scheduler = scope.use(await startTestScheduler());
      const schedulers = [scheduler.address];
      const honest = scope.use(await startTestDaemon({ name: "honest", schedulers }));
      const victim = scope.use(await startTestDaemon({ name: "victim", schedulers }));
      await Promise.all([attached(honest), attached(victim)]);
      const first = scope.use(honest.daemon.downloads.start(aDownload(origin.url("/file"))));
      await first.done;
      const liar = scope.use(await playParent((socket) => void socket.once("data", () => socket.destroy())));
      using byHand = new ByHand(victim);
      await byHand.say(hello(first.taskId, { transferPort: portOf(liar.port) }), lie); // it waits for the task to begin
      const download = scope.use(victim.daemon.downloads.start(aDownload(origin.url("/file"))));
      assert.equal(await sha256Of(download), sha256OfGenerated(CONTENT));
      assert.deepEqual((await download.done).bytesFrom, { "back-to-source": 0, "remote-peer": CONTENT.bytes, "local-peer": 0 });
    });
  }
});
