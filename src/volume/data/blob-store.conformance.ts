import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import type { Blob } from "../meta/extents.ts";
import { objectNameOf, type BlobStore } from "./blob-store.ts";

/** A place for blobs, and a way to it that goes past the store. */
export interface BlobPlace extends AsyncDisposable {
  /** As another process would open it. */
  open(): Promise<BlobStore>;
  /** Puts an object there by its key, as `list` names it. */
  plant(key: string, content: Buffer): Promise<void>;
}

export function aBlob(id: number, content: Buffer): Blob {
  return { id, sha256: createHash("sha256").update(content).digest("hex"), bytes: content.length };
}

const content = Buffer.from("what a blob holds");
const blob = aBlob(5000, content);
const KEY = `1/${objectNameOf(blob)}`;

const fails = (work: () => unknown, code: string): Promise<void> => assert.rejects(async () => work(), { code });

/** What every engine for blobs must do. */
export function blobStoreConformance(name: string, aPlace: () => Promise<BlobPlace>): void {
  const withStore = async (run: (store: BlobStore, place: BlobPlace) => Promise<void>): Promise<void> => {
    await using place = await aPlace();
    await using store = await place.open();
    await run(store, place);
  };

  describe(`blobs in ${name}`, () => {
    test("a blob is read back, also by who did not write it, and a repetition changes nothing", () =>
      withStore(async (store, place) => {
        for (let time = 0; time < 2; time++) await store.put(blob, [content.subarray(0, 4), content.subarray(4)]);
        await store.sync([blob]);
        await using other = await place.open();
        for (const each of [store, other]) {
          const into = Buffer.alloc(6);
          await each.read(blob, 7, into);
          assert.equal(into.toString(), "blob h");
          assert.equal(await each.inspect(blob, { content: true }), "good");
        }
      }));

    test("a blob of full size comes back bit for bit", () =>
      withStore(async (store, place) => {
        const large = Buffer.alloc(4 * 1024 * 1024, "large content ");
        const described = aBlob(9, large);
        await store.put(described, [large]);
        await using other = await place.open();
        const into = Buffer.alloc(large.length);
        await other.read(described, 0, into);
        assert.ok(into.equals(large));
      }));

    test("a blob that is damaged, cut, longer or missing is never read, and told apart", async () => {
      for (const [planted, inspected] of [
        [content.subarray(0, 5), "damaged"],
        [Buffer.from(`${content.toString()}!`), "damaged"],
        [Buffer.from(content).fill("x", 3, 4), "damaged"],
      ] as const)
        await withStore(async (store, place) => {
          assert.equal(await store.inspect(blob, { content: false }), "missing");
          await fails(() => store.read(blob, 0, Buffer.alloc(1)), "piece.not-found");
          await place.plant(KEY, planted);
          await fails(() => store.read(blob, 0, Buffer.alloc(1)), "disk.corrupt");
          assert.equal(await store.inspect(blob, { content: true }), inspected);
          assert.equal(await store.inspect(blob, { content: false }), planted.length === content.length ? "good" : "damaged");
        });
    });

    test("the list tells our blobs from what is not ours, and what is moved aside is gone from it", () =>
      withStore(async (store, place) => {
        await store.put(blob, [content]);
        await place.plant("1/stranger", Buffer.from("x"));
        await place.plant(`7/${objectNameOf(blob)}`, content); // in a place where nobody looks for it
        const listed = async (): Promise<readonly unknown[]> => {
          const found: (readonly [string, number | undefined, number])[] = [];
          for await (const { key, blobId, bytes } of store.list()) found.push([key, blobId, bytes]);
          return found.toSorted(([a], [b]) => (a < b ? -1 : 1));
        };
        assert.deepEqual(await listed(), [
          [KEY, 5000, content.length],
          ["1/stranger", undefined, 1],
          [`7/${objectNameOf(blob)}`, undefined, content.length],
        ]);
        await store.quarantine("1/stranger");
        await store.remove(blob);
        await store.remove(blob);
        assert.deepEqual(await listed(), [[`7/${objectNameOf(blob)}`, undefined, content.length]]);
      }));

    test("a place in which nothing was ever written is empty", () =>
      withStore(async (store) => {
        for await (const { key } of store.list()) assert.fail(key);
      }));
  });
}
