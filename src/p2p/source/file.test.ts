import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFile, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { realClock } from "../../base/clock.ts";
import { DiskThread } from "../../disk/disk-thread.ts";
import { aRequest, aSources, bytesOf, type TestSources } from "../../../test/kit/sources.ts";
import { fails } from "./source.conformance.ts";

const MKFIFO = "/usr/bin/mkfifo"; // coreutils

/** `root/` may be read, `outside/` may not. */
async function withTree(
  run: (tree: { readonly top: string; readonly sources: TestSources }) => Promise<void>,
  config: object = {},
): Promise<void> {
  await using scope = new AsyncDisposableStack();
  const top = await mkdtemp(join(tmpdir(), "anax-file-"));
  scope.defer(() => rm(top, { recursive: true }));
  await mkdir(join(top, "root/sub"), { recursive: true });
  await mkdir(join(top, "outside"));
  await mkdir(join(top, "root-not"));
  await Promise.all(["root/in", "outside/secret", "root-not/secret"].map((path) => writeFile(join(top, path), "content")));
  const sources = scope.use(aSources({ fileRoots: [join(top, "root")], ...config }));
  await run({ top, sources });
}

const at = (...parts: readonly string[]) => aRequest(pathToFileURL(join(...parts)).href);

test("file:// is off by default, and the error says how to turn it on", async () => {
  await using sources = aSources();
  const error = await fails(sources.stat(aRequest("file:///etc/hostname")), "source.denied");
  assert.match(String(error.details["hint"]), /p2p\.source\.fileRoots/);
});

for (const path of ["outside/secret", "outside/nothing", "root/../outside/secret", "root-not/secret", ""]) {
  test(`a path outside of the roots is denied, whether it exists or not: ${path || "the parent"}`, async () => {
    await withTree(async ({ top, sources }) => {
      const request = aRequest(`file://${top}/${path}`);
      await fails(sources.stat(request), "source.denied");
      await fails(sources.read(request), "source.denied");
      await fails(sources.list(request), "source.denied");
    });
  });
}

test("an escaped .. is no way out", async () => {
  await withTree(async ({ top, sources }) => {
    await fails(sources.read(aRequest(`file://${top}/root/%2e%2e/outside/secret`)), "source.denied");
    await fails(sources.read(aRequest(`file://${top}/root/..%2foutside/secret`)), "input.invalid");
  });
});

test("links inside of the root are followed, links out of it are denied and not listed", async () => {
  await withTree(async ({ top, sources }) => {
    const root = join(top, "root");
    await symlink(join(root, "in"), join(root, "good"));
    await symlink(join(top, "outside/secret"), join(root, "bad"));
    await symlink(join(top, "outside"), join(root, "bad-directory"));
    await symlink("nowhere", join(root, "dangling"));
    assert.equal((await bytesOf(await sources.read(at(root, "good")))).toString(), "content");
    await fails(sources.read(at(root, "bad")), "source.denied");
    await fails(sources.read(at(root, "bad-directory/secret")), "source.denied");
    await fails(sources.list(at(root, "bad-directory")), "source.denied");
    const names = (await sources.list(at(root))).map((entry) => entry.url.slice(pathToFileURL(root).href.length));
    assert.deepEqual(names, ["/good", "/in", "/sub/"]);
  });
});

test("a root that is itself a link works", async () => {
  await withTree(async ({ top }) => {
    await symlink(join(top, "root"), join(top, "alias"));
    await using sources = aSources({ fileRoots: [join(top, "alias")] });
    assert.equal((await bytesOf(await sources.read(at(top, "alias/in")))).toString(), "content");
  });
});

test("a pipe is refused at once instead of waited for", async () => {
  await withTree(async ({ top, sources }) => {
    execFileSync(MKFIFO, [join(top, "root/pipe")]);
    await fails(sources.read(at(top, "root/pipe")), "source.refused");
    assert.ok((await sources.list(at(top, "root"))).every((entry) => !entry.url.endsWith("pipe")));
  });
});

test("a file that becomes shorter while it is read is source.truncated", async () => {
  await withTree(async ({ top, sources }) => {
    const path = join(top, "root/long");
    await writeFile(path, Buffer.alloc(8_000_000));
    const chunks = (await sources.read(at(path))).chunks[Symbol.asyncIterator]();
    await chunks.next();
    await truncate(path, 10);
    await fails(
      (async () => {
        while ((await chunks.next()).done !== true);
      })(),
      "source.truncated",
    );
  });
});

test("a file that grows while it is read ends where it ended", async () => {
  await withTree(async ({ top, sources }) => {
    const body = await sources.read(at(top, "root/in"));
    await appendFile(join(top, "root/in"), "more");
    assert.equal((await bytesOf(body)).toString(), "content");
  });
});

test("a directory with too many entries is limit.exceeded, and a file is not listable", async () => {
  await withTree(
    async ({ top, sources }) => {
      await fails(sources.list(at(top, "root")), "limit.exceeded");
      await fails(sources.list(at(top, "root/in")), "source.not-listable");
    },
    { listEntriesMax: 1, attemptsMax: 1 },
  );
});

test("a URL that names another machine is input.invalid", async () => {
  await withTree(async ({ sources }) => void (await fails(sources.stat(aRequest("file://host/share/a")), "input.invalid")));
});

test("a small file among many is the same as one alone, and what is wrong is told in the same words", async () => {
  await using disk = new DiskThread(realClock);
  while (disk.tryRun("close", { fds: [] }) === undefined) await setImmediate();
  await withTree(async ({ top, sources: alone }) => {
    await using many = aSources({ fileRoots: [join(top, "root")] }, realClock, disk);
    const root = join(top, "root");
    await writeFile(join(root, "large"), Buffer.alloc(1_000_000, 1));
    await writeFile(join(root, "empty"), "");
    await symlink(join(top, "outside/secret"), join(root, "bad"));
    for (const name of ["in", "large", "empty"]) {
      const [one, other] = [await alone.read(at(root, name)), await many.read(at(root, name))];
      assert.ok((await bytesOf(one)).equals(await bytesOf(other)), name);
      assert.deepEqual({ ...one, chunks: 0 }, { ...other, chunks: 0 });
    }
    const ranged = await many.read({ ...at(root, "in"), range: { start: 1, length: 2 } });
    assert.equal((await bytesOf(ranged)).toString(), "on");
    await fails(many.read(at(root, "bad")), "source.denied");
    await fails(many.read(at(top, "outside/secret")), "source.denied");
    await fails(many.read(at(root, "nothing")), "source.not-found");
    const stop = new AbortController();
    const reading = many.read(aRequest(pathToFileURL(join(root, "in")).href, { signal: stop.signal }));
    stop.abort(new Error("enough"));
    await assert.rejects(async () => bytesOf(await reading), { message: "enough" });
  });
});
