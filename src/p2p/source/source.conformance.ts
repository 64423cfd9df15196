import assert from "node:assert/strict";
import { test } from "node:test";
import { AnaxError } from "../../base/errors.ts";
import type { SourceRequest, Sources } from "./types.ts";

/** A source with content in it, as the suite needs it. */
export interface SourceFixture extends AsyncDisposable {
  readonly sources: Sources;
  /** Stores content under a name such as `a file.bin` or `directory/file.bin` and tells its URL. */
  put(name: string, content: Uint8Array): Promise<string>;
  /** URL of a name that may or may not exist. */
  urlOf(name: string): string;
  /** A complete request for one of those URLs, with credentials where they are needed. */
  request(url: string, signal?: AbortSignal): SourceRequest;
  readonly canList: boolean;
}

/** What every source promises, whatever it speaks. */
export function sourceConformance(kind: string, open: () => Promise<SourceFixture>): void {
  const promise = (title: string, run: (fixture: SourceFixture) => Promise<void>): void =>
    void test(`${kind}: ${title}`, async () => {
      await using fixture = await open();
      await run(fixture);
    });

  promise("stat tells the length and that ranges work", async (fixture) => {
    const stat = await fixture.sources.stat(fixture.request(await fixture.put("a.bin", pattern(10_000))));
    assert.deepEqual([stat.contentLength, stat.acceptsRanges, stat.isDirectory], [10_000, true, false]);
    assert.equal(stat.responseHeader["content-length"], "10000");
    assert.match(stat.responseHeader["etag"] ?? "", /^"/);
    assert.match(stat.responseHeader["last-modified"] ?? "", / GMT$/);
  });

  promise("the whole content comes as it is, and every chunk is the consumer's to keep", async (fixture) => {
    const content = pattern(3_000_017);
    const body = await fixture.sources.read(fixture.request(await fixture.put("b.bin", content)));
    assert.deepEqual([body.contentLength, body.totalLength], [content.length, content.length]);
    assert.ok((await collect(body.chunks)).equals(content));
  });

  for (const [title, range, length] of [
    ["at the start", { start: 0, length: 10 }, 10],
    ["in the middle", { start: 70_000, length: 65_537 }, 65_537],
    ["that is the last byte", { start: 199_999, length: 1 }, 1],
    ["that is the whole", { start: 0, length: 200_000 }, 200_000],
    ["that goes on beyond the end, as far as there is content", { start: 199_000, length: 5000 }, 1000],
  ] as const) {
    promise(`a range ${title} comes exactly`, async (fixture) => {
      const content = pattern(200_000);
      const body = await fixture.sources.read({ ...fixture.request(await fixture.put("c.bin", content)), range });
      assert.deepEqual([body.contentLength, body.totalLength], [length, content.length]);
      assert.ok((await collect(body.chunks)).equals(content.subarray(range.start, range.start + length)));
    });
  }

  promise("a range outside of the content is refused", async (fixture) => {
    const request = fixture.request(await fixture.put("d.bin", pattern(10)));
    await fails(fixture.sources.read({ ...request, range: { start: 10, length: 1 } }), "task.range-unsatisfiable");
  });

  promise("empty content has length 0 and no chunks", async (fixture) => {
    const request = fixture.request(await fixture.put("empty.bin", new Uint8Array()));
    assert.equal((await fixture.sources.stat(request)).contentLength, 0);
    assert.equal((await collect((await fixture.sources.read(request)).chunks)).length, 0);
  });

  promise("names with spaces, signs and letters of any script work", async (fixture) => {
    const request = fixture.request(await fixture.put("a b/ü (1)+%'&.bin", pattern(5)));
    assert.equal((await collect((await fixture.sources.read(request)).chunks)).length, 5);
  });

  promise("what does not exist is source.not-found", async (fixture) => {
    const request = fixture.request(fixture.urlOf("nothing.bin"));
    await fails(fixture.sources.stat(request), "source.not-found");
    await fails(fixture.sources.read(request), "source.not-found");
  });

  promise("an aborted signal ends a request before it begins", async (fixture) => {
    const reason = new Error("stop");
    const request = fixture.request(await fixture.put("e.bin", pattern(10)), AbortSignal.abort(reason));
    for (const call of [() => fixture.sources.stat(request), () => fixture.sources.read(request)]) {
      await assert.rejects(call, (thrown) => thrown === reason);
    }
  });

  promise("an abort in the middle of a body ends it with the signal's reason", async (fixture) => {
    const controller = new AbortController();
    const request = fixture.request(await fixture.put("f.bin", pattern(8_000_000)), controller.signal);
    const chunks = (await fixture.sources.read(request)).chunks[Symbol.asyncIterator]();
    await chunks.next();
    const reason = new Error("stop");
    controller.abort(reason);
    await assert.rejects(
      async () => {
        while ((await chunks.next()).done !== true);
      },
      (thrown) => thrown === reason,
    );
  });

  promise("a loop that is left early leaves nothing open", async (fixture) => {
    const request = fixture.request(await fixture.put("g.bin", pattern(8_000_000)));
    for await (const chunk of (await fixture.sources.read(request)).chunks) {
      assert.ok(chunk.length > 0);
      break;
    }
    const again = await fixture.sources.read({ ...request, range: { start: 0, length: 1 } });
    assert.equal((await collect(again.chunks)).length, 1);
  });

  promise("a directory lists what lies directly in it, or the source says that it cannot list", async (fixture) => {
    const file = await fixture.put("dir/one.bin", pattern(3));
    await fixture.put("dir/sub/two.bin", pattern(4));
    await fixture.put("elsewhere.bin", pattern(5));
    const request = fixture.request(fixture.urlOf("dir/"));
    if (!fixture.canList) return void (await fails(fixture.sources.list(request), "source.not-listable"));
    const entries = await fixture.sources.list(request);
    assert.deepEqual(
      entries.toSorted((a, b) => a.url.localeCompare(b.url)),
      [
        { url: file, contentLength: 3, isDirectory: false },
        { url: fixture.urlOf("dir/sub/"), contentLength: 0, isDirectory: true },
      ],
    );
    assert.equal((await fixture.sources.stat(request)).isDirectory, true);
    await fails(fixture.sources.read(request), "source.refused");
  });
}

/** Resolves when `work` rejects with this code; gives the error. */
export async function fails(work: Promise<unknown>, code: AnaxError["code"]): Promise<AnaxError> {
  const thrown = await work.then(
    () => assert.fail(`${code} was expected, and nothing was thrown`),
    (error: unknown) => error,
  );
  assert.ok(thrown instanceof AnaxError, String(thrown));
  assert.equal(thrown.code, code, thrown.message);
  return thrown;
}

/** Bytes that differ from their neighbours and repeat only after 251 × 256, so that a shifted range shows. */
const pattern = (length: number): Buffer => Buffer.from(Uint8Array.from({ length }, (_, i) => (i % 251) ^ (i >> 8)));

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}
