import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { createRandom } from "../../base/random.ts";
import { contentTaskIdOf } from "../model/ids.ts";
import { pieceCountOf, pieceRangeOf } from "../model/piece.ts";
import type { TaskMeta } from "../model/types.ts";
import type { PieceStore, PieceWriter, StoredTask } from "./types.ts";

export interface TestContent {
  readonly meta: TaskMeta;
  readonly bytes: Buffer;
}

/** Content with a task to go with it; the same seed gives the same. */
export function aContent(
  options: {
    readonly seed?: number;
    readonly bytes?: number;
    readonly pieceBytes?: number;
    readonly digest?: "sha256" | "sha512" | "crc32" | "none";
  } = {},
): TestContent {
  const { seed = 1, bytes = 100_000, pieceBytes = 16_384, digest = "none" } = options;
  const random = createRandom(seed);
  const content = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i++) content[i] = random.below(256);
  const layout = { contentLength: bytes, pieceLength: pieceBytes };
  const meta: TaskMeta = {
    id: contentTaskIdOf(`content ${seed}`),
    url: `http://origin.test/${seed}`,
    ...(digest === "none" ? {} : { digest: digestOf(content, digest) }),
    filteredQueryParams: [],
    responseHeader: { "content-type": "application/octet-stream" },
    ...layout,
    pieceCount: pieceCountOf(layout),
  };
  return { meta, bytes: content };
}

export function digestOf(bytes: Uint8Array, algorithm: "sha256" | "sha512" | "crc32"): string {
  return `${algorithm}:${algorithm === "crc32" ? crc32(bytes) : createHash(algorithm).update(bytes).digest("hex")}`;
}

export const pieceOf = ({ meta, bytes }: TestContent, index: number): Buffer => {
  const range = pieceRangeOf(meta, index);
  return bytes.subarray(range.start, range.start + range.length);
};

/** Writes a piece in two chunks. */
export async function storePiece(task: StoredTask, content: TestContent, index: number): Promise<"stored" | "duplicate"> {
  const piece = pieceOf(content, index);
  const writer = task.writePiece({ index, expectedCrc32: crc32(piece), traffic: "remote-peer", parentId: "parent" });
  const middle = piece.length >> 1;
  await writer.write(piece.subarray(0, middle));
  await writer.write(piece.subarray(middle));
  return writer.finish();
}

/** Without waiting, where that is possible. */
const append = async (writer: PieceWriter, bytes: Uint8Array): Promise<void> =>
  void (writer.writeNow(bytes) || (await writer.write(bytes)));

export async function storeAll(task: StoredTask, content: TestContent): Promise<void> {
  for (let index = 0; index < content.meta.pieceCount; index++) await storePiece(task, content, index);
}

export async function readAll(task: StoredTask, signal: AbortSignal = never()): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of task.stream({ start: 0, length: task.meta.contentLength }, signal)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

export const never = (): AbortSignal => new AbortController().signal;

export const rejectsWith = (work: Promise<unknown>, code: string): Promise<void> => assert.rejects(work, { code });

/** What every piece store does, wherever it keeps the bytes. */
export function testPieceStore(name: string, open: () => Promise<AsyncDisposable & { readonly store: PieceStore }>): void {
  const spec = (title: string, body: (store: PieceStore) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      await using opened = await open();
      await body(opened.store);
    });
  };

  spec("a task is made once, and found and listed", async (store) => {
    const { meta } = aContent();
    const [task, same] = await Promise.all([store.open(meta), store.open(meta)]);
    assert.equal(task, same);
    assert.equal(store.find(meta.id), task);
    assert.deepEqual(store.list(), [task]);
    assert.equal(task.state, "partial");
    assert.equal((await store.usage()).reservedBytes, meta.contentLength);
  });

  spec("a task with other lengths is refused", async (store) => {
    const { meta } = aContent();
    await store.open(meta);
    await rejectsWith(store.open({ ...meta, contentLength: meta.contentLength + 1 }), "input.invalid");
    await rejectsWith(store.open(aContent({ pieceBytes: 4096 }).meta), "input.invalid");
    await rejectsWith(store.open({ ...aContent({ seed: 2 }).meta, pieceCount: 1 }), "input.invalid");
  });

  spec("pieces written in any order are held, described and read back", async (store) => {
    const content = aContent();
    const task = await store.open(content.meta);
    const heard: number[] = [];
    using _ = store.events.onPiece((_task, index) => heard.push(index));
    const order = createRandom(7).shuffle(Array.from({ length: content.meta.pieceCount }, (_each, index) => index));
    for (const index of order) assert.equal(await storePiece(task, content, index), "stored");
    await task.finish(never());
    assert.deepEqual(heard, order);
    assert.equal(task.state, "finished");
    assert.ok(task.finished.full);
    assert.deepEqual(task.bytesFrom, { "back-to-source": 0, "remote-peer": content.bytes.length, "local-peer": 0 });
    const last = task.piece(content.meta.pieceCount - 1);
    assert.equal(last?.lengthBytes, content.bytes.length % content.meta.pieceLength);
    assert.equal(last.crc32, crc32(pieceOf(content, content.meta.pieceCount - 1)));
    assert.equal(last.parentId, "parent");
    const into = Buffer.alloc(1000);
    assert.equal(await task.read({ offsetBytes: 50_000, into }), 1000);
    assert.ok(into.equals(content.bytes.subarray(50_000, 51_000)));
    assert.equal(await task.read({ offsetBytes: 99_999, into }), 1);
    assert.equal((await store.usage()).reservedBytes, 0);
  });

  spec("content kept in one go is held as if it had been written piece by piece, once", async (store) => {
    const content = aContent();
    const heard: number[] = [];
    using _ = store.events.onPiece((_task, index) => heard.push(index));
    const task = await store.keep(content.meta, content.bytes, never());
    assert.ok(task?.finished.full);
    assert.equal(store.find(content.meta.id), task);
    assert.deepEqual(
      heard,
      Array.from({ length: content.meta.pieceCount }, (_each, index) => index),
    );
    assert.equal(task.piece(1)?.crc32, crc32(pieceOf(content, 1)));
    assert.equal(await store.keep(content.meta, content.bytes, never()), undefined);
    await task.finish(never());
    assert.equal(task.state, "finished");
    assert.deepEqual(task.bytesFrom, { "back-to-source": content.bytes.length, "remote-peer": 0, "local-peer": 0 });
    assert.ok((await readAll(task)).equals(content.bytes));
    assert.deepEqual(await store.usage().then(({ storedBytes, reservedBytes }) => [storedBytes, reservedBytes]), [content.bytes.length, 0]);
  });

  spec("content kept in one go without its digest is dropped as a whole", async (store) => {
    const content = aContent();
    const wrong = { ...content.meta, digest: digestOf(Buffer.from("something else"), "sha256") };
    const task = await store.keep(wrong, content.bytes, never());
    await rejectsWith(task!.finish(never()), "task.digest-mismatch");
    assert.deepEqual([task?.state, task?.finished.count], ["partial", 0]);
  });

  spec("what is stored and promised is the sum over the tasks, whatever becomes of them", async (store) => {
    const [whole, partial, wrong, gone] = [1, 2, 3, 4].map((seed) => aContent({ seed }));
    const badDigest = { ...wrong!, meta: { ...wrong!.meta, digest: digestOf(whole!.bytes, "sha256") } };
    const expect = async (promisedBytes: number): Promise<void> => {
      const { storedBytes, reservedBytes } = await store.usage();
      const held = store.list().reduce((sum, { heldBytes }) => sum + heldBytes, 0);
      assert.deepEqual([storedBytes, reservedBytes], [held, promisedBytes]);
    };
    const first = await store.open(whole!.meta);
    await storeAll(first, whole!);
    await first.finish(never());
    await expect(0);
    const second = await store.open(partial!.meta);
    await storePiece(second, partial!, 1);
    const missingBytes = partial!.bytes.length - pieceOf(partial!, 1).length;
    await expect(missingBytes);
    const third = await store.open(badDigest.meta);
    await storeAll(third, badDigest);
    await rejectsWith(third.finish(never()), "task.digest-mismatch");
    await expect(missingBytes);
    const fourth = await store.open(gone!.meta);
    await storePiece(fourth, gone!, 0);
    await store.remove(gone!.meta.id, { ignore: ["download"] });
    await expect(missingBytes);
    second.fail(new Error("given up"));
    await expect(0);
  });

  spec("reading where no piece is, is refused", async (store) => {
    const content = aContent();
    const task = await store.open(content.meta);
    await storePiece(task, content, 0);
    await rejectsWith(task.read({ offsetBytes: 16_000, into: Buffer.alloc(1000) }), "piece.not-found");
    assert.equal(task.piece(1), undefined);
    assert.equal(task.piece(-1), undefined);
    assert.throws(() => task.writePiece({ index: 7, traffic: "remote-peer", parentId: "" }), { code: "piece.not-found" });
    await rejectsWith(task.waitForPiece(99, never()), "piece.not-found");
  });

  spec("a piece that is short, long or of another checksum is refused and can be written again", async (store) => {
    const content = aContent();
    const task = await store.open(content.meta);
    const start = (expectedCrc32?: number) => task.writePiece({ index: 2, expectedCrc32, traffic: "remote-peer", parentId: "p" });
    await rejectsWith(start().finish(), "piece.digest-mismatch");
    await rejectsWith(start().write(Buffer.alloc(16_385)), "piece.digest-mismatch");
    const wrong = start(1);
    await wrong.write(pieceOf(content, 2));
    await rejectsWith(wrong.finish(), "piece.digest-mismatch");
    await rejectsWith(wrong.finish(), "download.cancelled");
    assert.equal(task.finished.has(2), false);
    assert.equal(await storePiece(task, content, 2), "stored");
    assert.equal(await storePiece(task, content, 2), "duplicate");
  });

  spec("what is written without waiting is judged as what is written otherwise", async (store) => {
    const content = aContent();
    const task = await store.open(content.meta);
    const piece = pieceOf(content, 2);
    const start = (expectedCrc32: number) => task.writePiece({ index: 2, expectedCrc32, traffic: "remote-peer", parentId: "p" });
    const wrong = start(crc32(piece) + 1);
    await append(wrong, piece);
    await rejectsWith(wrong.finish(), "piece.digest-mismatch");
    const right = start(crc32(piece));
    for (const [from, to] of [
      [0, 7000],
      [7000, 9000],
      [9000, piece.length],
    ])
      await append(right, piece.subarray(from, to));
    const second = start(crc32(piece));
    assert.equal(second.writeNow(piece), false, "the place is another's");
    assert.equal(await right.finish(), "stored");
    assert.throws(() => right.writeNow(piece), { code: "download.cancelled" });
    assert.throws(() => second.writeNow(Buffer.alloc(piece.length + 1)), { code: "piece.digest-mismatch" });
    const into = Buffer.alloc(piece.length);
    await task.read({ offsetBytes: 2 * content.meta.pieceLength, into });
    assert.ok(into.equals(piece));
  });

  spec("of several writers of a piece the first to finish wins, whatever the others write", async (store) => {
    const content = aContent();
    const task = await store.open(content.meta);
    const piece = pieceOf(content, 1);
    const junk = Buffer.alloc(piece.length, 0xee);
    const [first, second, third, late] = [1, 2, 3, 4].map((n) => task.writePiece({ index: 1, traffic: "remote-peer", parentId: `p${n}` }));
    await first!.write(junk.subarray(0, 10_000));
    await second!.write(piece.subarray(0, 5000));
    await third!.write(junk.subarray(0, 5000));
    await second!.write(piece.subarray(5000));
    const [outcome] = await Promise.all([second!.finish(), first!.write(junk.subarray(10_000)), third!.write(junk.subarray(5000))]);
    assert.equal(outcome, "stored");
    assert.equal(await first!.finish(), "duplicate");
    assert.equal(await third!.finish(), "duplicate");
    late!.abort();
    assert.equal(task.piece(1)?.parentId, "p2");
    const into = Buffer.alloc(piece.length);
    await task.read({ offsetBytes: 16_384, into });
    assert.ok(into.equals(piece));
    assert.deepEqual(task.inUse, ["download"]); // the space is still reserved
  });

  spec("a writer that is aborted while it finishes stores the whole piece all the same", async (store) => {
    const pieceBytes = 1024 * 1024; // copied from the spool in several steps
    const content = aContent({ bytes: 2 * pieceBytes, pieceBytes });
    const task = await store.open(content.meta);
    const piece = pieceOf(content, 1);
    const [first, second] = [1, 2].map((n) => task.writePiece({ index: 1, traffic: "remote-peer", parentId: `p${n}` }));
    await first!.write(Buffer.alloc(100, 0xee));
    await second!.write(piece);
    const finishing = second!.finish();
    second!.abort();
    assert.equal(await finishing, "stored");
    await first!.write(Buffer.alloc(piece.length - 100, 0xee));
    assert.equal(await first!.finish(), "duplicate");
    const into = Buffer.alloc(piece.length);
    await task.read({ offsetBytes: pieceBytes, into });
    assert.ok(into.equals(piece));
  });

  spec("an aborted writer leaves its place to the next", async (store) => {
    const content = aContent();
    const task = await store.open(content.meta);
    const gone = task.writePiece({ index: 0, traffic: "remote-peer", parentId: "p" });
    const writing = gone.write(Buffer.alloc(9000, 0xee));
    gone.abort();
    const next = storePiece(task, content, 0); // while the write of the first is under way
    await writing;
    assert.equal(await next, "stored");
    const into = Buffer.alloc(16_384);
    await task.read({ offsetBytes: 0, into });
    assert.ok(into.equals(pieceOf(content, 0)));
  });

  spec("a stream follows pieces that arrive in random order", async (store) => {
    const content = aContent({ bytes: 1_000_000 });
    const task = await store.open(content.meta);
    const reading = readAll(task);
    for (const index of createRandom(3).shuffle(Array.from({ length: content.meta.pieceCount }, (_each, i) => i)))
      await storePiece(task, content, index);
    assert.ok((await reading).equals(content.bytes));
    assert.deepEqual(task.inUse, ["download"]);
  });

  spec("a stream of a range gives just that range", async (store) => {
    const content = aContent({ bytes: 1_000_000, digest: "sha256" });
    const task = await store.open(content.meta);
    await storeAll(task, content);
    await task.finish(never());
    for (const [start, length] of [
      [0, 1],
      [16_383, 2],
      [999_999, 1],
      [123_456, 600_000],
    ] as const) {
      const chunks: Buffer[] = [];
      for await (const chunk of task.stream({ start, length }, never())) chunks.push(Buffer.from(chunk));
      assert.ok(Buffer.concat(chunks).equals(content.bytes.subarray(start, start + length)));
    }
    const outside = task.stream({ start: 999_999, length: 2 }, never())[Symbol.asyncIterator]();
    await rejectsWith(outside.next(), "task.range-unsatisfiable");
  });

  spec("a stream ends with the task's failure, also one that came while nothing waited", async (store) => {
    const content = aContent();
    const task = await store.open(content.meta);
    const chunks = task.stream({ start: 0, length: 100_000 }, never())[Symbol.asyncIterator]();
    await storePiece(task, content, 0);
    assert.equal((await chunks.next()).value?.length, 16_384);
    task.fail(new Error("the source is gone"));
    await assert.rejects(chunks.next(), /the source is gone/);
    assert.equal((await store.usage()).reservedBytes, 0);
    assert.deepEqual(task.inUse, []);
  });

  spec("a stream that is left or aborted frees the task", async (store) => {
    const content = aContent();
    const task = await store.open(content.meta);
    await storePiece(task, content, 0);
    for await (const _chunk of task.stream({ start: 0, length: 100_000 }, never())) break; // the next piece is missing, and waited for
    const abort = new AbortController();
    const reading = readAll(task, abort.signal);
    abort.abort(new Error("enough"));
    await assert.rejects(reading, /enough/);
    assert.ok(!task.inUse.includes("proxy-read"));
  });

  spec("with a digest, the last piece of a stream waits until the content is verified", async (store) => {
    const content = aContent({ digest: "sha256" });
    const task = await store.open(content.meta);
    await storeAll(task, content);
    let got = 0;
    const last = 6 * 16_384;
    const { promise: beforeLast, resolve } = Promise.withResolvers<void>();
    const reading = (async () => {
      for await (const chunk of task.stream({ start: 0, length: 100_000 }, never())) {
        got += chunk.length;
        if (got >= last) resolve();
      }
    })();
    await beforeLast;
    assert.equal(got, last);
    await task.finish(never());
    await reading;
    assert.equal(got, 100_000);
  });

  for (const digest of ["sha256", "sha512", "crc32"] as const) {
    spec(`content that does not have its ${digest} is dropped as a whole`, async (store) => {
      const content = aContent({ digest });
      const other = aContent({ seed: 9 });
      const task = await store.open(content.meta);
      await storeAll(task, { meta: content.meta, bytes: other.bytes });
      const reading = readAll(task);
      const expected = { code: "task.digest-mismatch" };
      await Promise.all([assert.rejects(task.finish(never()), expected), assert.rejects(reading, expected)]);
      assert.equal(task.finished.count, 0);
      assert.equal(task.state, "partial");
      await storeAll(task, content);
      await task.finish(never());
      assert.ok((await readAll(task)).equals(content.bytes));
      assert.equal(await task.digestOf(digest, never()), content.meta.digest!.split(":")[1]);
    });
  }

  spec("empty content is a finished task like any other", async (store) => {
    const content = aContent({ bytes: 0, digest: "sha256" });
    const task = await store.open(content.meta);
    await task.finish(never());
    assert.equal(task.state, "finished");
    assert.equal((await readAll(task)).length, 0);
    await rejectsWith(store.open({ ...content.meta, digest: digestOf(Buffer.from("x"), "sha256") }), "task.digest-mismatch");
  });

  spec("finish waits for the missing pieces, and no longer than its caller", async (store) => {
    const content = aContent();
    const task = await store.open(content.meta);
    const abort = new AbortController();
    const impatient = task.finish(abort.signal);
    const patient = task.finish(never());
    abort.abort(new Error("enough"));
    await assert.rejects(impatient, /enough/);
    const verified = task.waitUntilVerified(never());
    await storeAll(task, content);
    await patient;
    await verified;
    await task.finish(never());
  });

  spec("a digest named later is checked against finished content", async (store) => {
    const content = aContent();
    const task = await store.open(content.meta);
    await storeAll(task, content);
    await task.finish(never());
    assert.equal(await store.open({ ...content.meta, digest: digestOf(content.bytes, "sha512") }), task);
    await rejectsWith(store.open({ ...content.meta, digest: digestOf(Buffer.from("x"), "sha256") }), "task.digest-mismatch");
    assert.ok((await readAll(task)).equals(content.bytes));
  });

  spec("a task in use is not removed; a removed one is gone for everybody", async (store) => {
    const content = aContent();
    const task = await store.open(content.meta);
    await storeAll(task, content);
    await task.finish(never());
    const removed: string[] = [];
    using _ = store.events.onRemoved((id) => removed.push(id));
    const lease = task.lease("upload");
    await assert.rejects(store.remove(content.meta.id), { code: "task.in-use", details: { taskId: content.meta.id, reasons: ["upload"] } });
    lease[Symbol.dispose]();
    lease[Symbol.dispose](); // once is enough
    await store.remove(content.meta.id);
    await rejectsWith(store.remove(content.meta.id), "task.not-found");
    assert.deepEqual(removed, [content.meta.id]);
    assert.equal(store.find(content.meta.id), undefined);
    assert.throws(() => task.lease("upload"), { code: "task.not-found" });
    await rejectsWith(task.read({ offsetBytes: 0, into: Buffer.alloc(1) }), "task.not-found");
    const again = await store.open(content.meta);
    assert.equal(again.finished.count, 0);
    assert.equal(await storePiece(again, content, 0), "stored");
  });

  spec("removing an unfinished task ends those who wait and write", async (store) => {
    const content = aContent();
    const task = await store.open(content.meta);
    task.fail(new Error("given up"));
    const waiting = rejectsWith(task.waitForPiece(0, never()), "task.not-found");
    await store.remove(content.meta.id);
    await waiting;
  });
}
