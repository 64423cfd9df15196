import assert from "node:assert/strict";
import { once } from "node:events";
import http, { type IncomingMessage } from "node:http";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { runAnax, startAnax, type AnaxProcess } from "../kit/anax.ts";
import { aDesk, jsonLines, socketOf } from "../kit/cli.ts";
import { waitFor } from "../kit/process.ts";

const BYTES = 3_000_000;

/** When the only task of a daemon was last used; Unix time in milliseconds. */
async function lastUseIn(daemon: AnaxProcess): Promise<number> {
  const tasks = jsonLines((await runAnax(["ls", "-e", socketOf(daemon), "--json"])).stdout);
  assert.equal(tasks.length, 1);
  return Date.parse(String(tasks[0]?.["accessedAt"]));
}

test("local hits, proxy reads and uploads are uses, and a daemon that is killed remembers the last one", async () => {
  const set = { "p2p.pieces.collectIntervalMs": "100ms", "p2p.proxy.rules": JSON.stringify([{ regex: "/file" }]) };
  await using desk = await aDesk({ content: { "/file": { bytes: BYTES, seed: 1 } }, set });
  assert.equal((await desk.get("/file", "first")).code, 0);
  let before = await lastUseIn(desk.daemon);
  const isUse = async (what: string): Promise<void> => {
    const now = await lastUseIn(desk.daemon);
    assert.ok(now > before, `${what} is no use`);
    before = now;
  };
  assert.equal(await lastUseIn(desk.daemon), before, "looking at it is no use");

  assert.equal((await desk.get("/file", "second")).code, 0);
  await isUse("a local hit");

  assert.equal(await bytesThrough(desk.daemon.listeners["proxy"] ?? "", desk.origin.url("/file")), BYTES);
  await isUse("a proxy read");

  {
    const args = ["--hostname", "other", "--scheduler", desk.daemon.listeners["scheduler"] ?? ""];
    await using other = await startAnax("daemon", { dataDir: join(desk.dir, "other"), args, set });
    const url = desk.origin.url("/file");
    const got = await runAnax(["get", "-e", socketOf(other), url, "-O", join(desk.out, "third"), "--disable-back-to-source"]);
    assert.equal(got.code, 0, got.stderr);
  }
  await isUse("an upload");

  await waitFor(async () => recordedIn(desk.daemon.dataDir) === before);
  desk.daemon.kill("SIGKILL");
  await desk.daemon.exited;
  await using again = await startAnax("daemon", { dataDir: desk.daemon.dataDir, set });
  assert.equal(await lastUseIn(again), before);
});

/** The last use of the only task as it is on the disk. */
function recordedIn(dataDir: string): unknown {
  using database = new DatabaseSync(join(dataDir, "pieces/pieces.db"), { readOnly: true });
  return database.prepare("SELECT accessed_at_ms AS at FROM tasks").get()?.["at"];
}

/** Reads a URL through a proxy to its end. */
async function bytesThrough(proxy: string, url: string): Promise<number> {
  const { hostname, port } = new URL(proxy);
  const request = http.get({ host: hostname, port, path: url, headers: { Host: new URL(url).host } });
  const [response] = (await once(request, "response")) as [IncomingMessage];
  assert.equal(response.statusCode, 200);
  let bytes = 0;
  for await (const chunk of response) bytes += (chunk as Buffer).length;
  return bytes;
}
