import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { taskIdOf } from "../../src/p2p/model/ids.ts";
import { spawnAnax, startAnax } from "../kit/anax.ts";
import { aDesk, errorCodeOf, jsonLines, socketOf, type Desk } from "../kit/cli.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";
import { onTerminal } from "../kit/terminal.ts";

const MIB = 1024 * 1024;
const FILE = { bytes: 9 * MIB + 1, seed: 41 };
/** Of 256 KiB, the least of the own rule. */
const PIECES = 37;

async function ok(desk: Desk, ...args: readonly string[]): Promise<string> {
  const ran = await desk.run(args);
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal(ran.stderr, "");
  return ran.stdout;
}

test("ls and stat show the tasks for people and for programs, by id, beginning, URL or digest", async () => {
  await using desk = await aDesk({ content: { "/file": FILE, "/small": "small" } });
  const url = desk.origin.url("/file");
  const id = taskIdOf({ url });
  assert.equal(await ok(desk, "ls"), "No tasks on this machine yet.\n");
  assert.equal(await ok(desk, "ls", "--json"), "");
  assert.equal((await desk.get("/file", "file")).code, 0);
  assert.equal((await desk.get("/small", "small", "--tag", "a", "--application", "b")).code, 0);

  const [head, ...rows] = (await ok(desk, "ls")).trimEnd().split("\n");
  assert.match(head!, /^TASK +STATE +HELD +SIZE +FROM PEERS +FROM SOURCE +IN USE +URL$/);
  assert.equal(rows.length, 2);
  assert.ok(
    rows.some((row) => new RegExp(`^${id.slice(0, 12)} +finished +100% +9\\.00 MiB +0 B +9\\.00 MiB +hard-link +${url}$`).test(row)),
    rows.join("\n"),
  );
  const listed = jsonLines(await ok(desk, "ls", "--json")).find(({ taskId }) => taskId === id);
  assert.deepEqual(
    [listed?.["state"], listed?.["contentLength"], listed?.["pieceCount"], listed?.["finishedPieceCount"], listed?.["bytesFromSource"]],
    ["finished", FILE.bytes, PIECES, PIECES, FILE.bytes],
  );
  assert.match(String(listed?.["finishedAt"]), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);

  for (const name of [id, id.slice(0, 8), url]) {
    const text = await ok(desk, "stat", name);
    assert.match(text, new RegExp(`^task +${id}$`, "m"));
    assert.match(text, new RegExp(`^pieces +${PIECES} of ${PIECES} \\(100%\\), 256 KiB each$`, "m"));
    assert.equal((JSON.parse(await ok(desk, "stat", name, "--json")) as { taskId: string }).taskId, id);
  }
  const nothing = await desk.run(["stat", "fffffff"]);
  assert.deepEqual([errorCodeOf(nothing), nothing.code], ["task.not-found", 4]);
  const many = await desk.run(["stat", ""]);
  assert.deepEqual([errorCodeOf(many), many.code], ["input.invalid", 2]);
  const asJson = await desk.run(["stat", "fffffff", "--json"]);
  assert.equal((JSON.parse(asJson.stderr) as { error: { code: string } }).error.code, "task.not-found");
});

test("rm removes tasks, refuses one that is being downloaded with the reason, and --all takes what is idle", async () => {
  await using desk = await aDesk({
    content: { "/a": "a", "/b": "b", "/c": "c", "/busy": FILE },
    faults: { "/busy": { stallAfterBytes: 5 * MIB } },
  });
  for (const path of ["/a", "/b", "/c"]) assert.equal((await desk.get(path, path.slice(1))).code, 0);
  const busy = spawnAnax(["get", desk.origin.url("/busy"), "-O", join(desk.out, "busy"), "-e", desk.socket]);
  busy.stdout!.resume();
  await desk.origin.until(() => desk.origin.stats("/busy").bytesSent >= 5 * MIB);
  const id = taskIdOf({ url: desk.origin.url("/busy") });

  const refused = await desk.run(["rm", id]);
  assert.deepEqual([errorCodeOf(refused), refused.code], ["task.in-use", 8]);
  assert.match(refused.stderr, /reasons=download/);

  const url = desk.origin.url("/a");
  assert.equal(await ok(desk, "rm", url), `removed ${taskIdOf({ url })} ${url}\n`);
  assert.equal(errorCodeOf(await desk.run(["rm", url])), "task.not-found");
  assert.deepEqual(
    jsonLines(await ok(desk, "rm", "--all", "--json"))
      .map((line) => String(line["url"]))
      .toSorted((a, b) => a.localeCompare(b)),
    [desk.origin.url("/b"), desk.origin.url("/c")],
  );
  assert.deepEqual(
    jsonLines(await ok(desk, "ls", "--json")).map((line) => line["taskId"]),
    [id],
  );
  for (const wrong of [["rm"], ["rm", "--all", "x"]]) assert.equal((await desk.run(wrong)).code, 2);
  busy.kill("SIGINT");
});

test("gc says what goes and why the rest stays, and pinned tasks stay until they are unpinned, also over a restart", async () => {
  await using place = await temporaryDirectory();
  const dataDir = join(place.path, "data");
  const content = { "/a": FILE, "/b": { ...FILE, seed: 2 }, "/c": { ...FILE, seed: 3 } };
  const urls: Record<string, string> = {};
  const url = (path: string): string => urls[path] ?? "";
  {
    await using desk = await aDesk({ content, dataDir });
    for (const path of Object.keys(content)) urls[path] = desk.origin.url(path);
    for (const path of ["/a", "/b"]) assert.equal((await desk.get(path, path.slice(1))).code, 0);
    assert.equal((await desk.run(["get", url("/c"), "-O", join(place.path, "c")])).code, 0); // the others' outputs go with the desk
    assert.match(await ok(desk, "pin", url("/a")), /^[0-9a-f]{64} pinned until it is unpinned http/);
    assert.match(await ok(desk, "pin", url("/a"), "--for", "2h"), / pinned until \d{4}-\d\d-\d\dT[\d:.]+Z http/);
    assert.match(await ok(desk, "stat", url("/a")), /^pin +pinned until \d{4}/m);
    const refused = await desk.run(["rm", url("/a")]);
    assert.deepEqual([errorCodeOf(refused), refused.code], ["task.in-use", 8]);
    assert.equal((await desk.run(["pin", url("/a"), "--for", "0s"])).code, 2);
    assert.equal(errorCodeOf(await desk.run(["pin", "fffffff"])), "task.not-found");
  }
  await using desk = await aDesk({ dataDir });
  const table = await ok(desk, "gc", "--dry-run", "--free", "20MiB");
  const rows = table.split("\n");
  assert.match(rows[0]!, /^TASK +HELD +LAST USED +WHAT +WHY +URL$/);
  assert.match(rows[1]!, /would go +room is needed +http.*\/b$/);
  assert.ok(
    rows.some((row) => /kept +in use: pin +http.*\/a$/.test(row)),
    table,
  );
  assert.ok(
    rows.some((row) => /kept +in use: hard-link +http.*\/c$/.test(row)),
    table,
  );
  assert.match(table, /^Would free 9\.00 MiB: 1 of 3 tasks\. Needed: 20\.0 MiB\.\n11\.0 MiB too little: all that is left is in use\.$/m);
  assert.equal(jsonLines(await ok(desk, "ls", "--json")).length, 3);

  const lines = jsonLines(await ok(desk, "gc", "--free", "1", "--json"));
  const freedBytes = Math.ceil(FILE.bytes / 4096) * 4096; // what was freed are whole blocks
  assert.deepEqual(lines.at(-1), { dryRun: false, neededBytes: 1, freedBytes, collected: 1, kept: 2 });
  assert.deepEqual(
    lines.slice(0, -1).map(({ verdict }) => verdict),
    ["space", "in-use", "in-use"],
  );
  assert.match(await ok(desk, "unpin", url("/a")), /^[0-9a-f]{64} unpinned http/);
  assert.match(await ok(desk, "gc"), /kept +there is room/);
  await ok(desk, "rm", url("/a"));
});

test("explain says why a download went to the source, and which peers served another", async () => {
  await using alone = await aDesk({ role: "daemon", content: { "/file": FILE } });
  assert.equal((await alone.get("/file", "file")).code, 0);
  const lonely = await ok(alone, "explain", alone.origin.url("/file"));
  assert.match(lonely, /download\.read-source +.*because=no-scheduler/);
  assert.match(lonely, /no scheduler is configured/);

  await using desk = await aDesk({ content: { "/file": FILE } });
  const url = desk.origin.url("/file");
  const id = taskIdOf({ url });
  assert.equal((await desk.get("/file", "file")).code, 0);
  const first = await ok(desk, "explain", url);
  assert.match(first, /scheduler\.says-source +.*reason=first/); // nobody held it
  assert.match(first, /Scheduler .*: task succeeded, 1 peers, 0 reading the source/);
  assert.match(
    first,
    /What was decided for this host .*:\n.* waits, as nobody could be offered: none of 0 others\n(.*\n)*.* was sent to the source because/,
  );

  await using child = await startAnax("daemon", {
    dataDir: join(desk.dir, "child"),
    args: ["--scheduler", desk.daemon.listeners["scheduler"]!, "--hostname", "child"], // up prints it
  });
  const got = await desk.run(["get", url, "-O", join(desk.out, "child"), "-e", socketOf(child)]);
  assert.equal(got.code, 0, got.stderr);
  assert.equal(jsonLines(got.stdout).at(-1)?.["bytesFromPeers"], FILE.bytes);
  const second = await desk.run(["explain", id.slice(0, 10), "-e", socketOf(child), "--json"]);
  const story = JSON.parse(second.stdout) as {
    local: { bytesFromPeers: number };
    events: { event: string; fields: Record<string, string> }[];
    scheduler: {
      peers: { hostname: string; parents: string[]; state: string }[];
      decisions: { hostname: string; kind: string; chosen: string[] }[];
    };
  };
  assert.equal(story.local.bytesFromPeers, FILE.bytes);
  const offered = story.events.find(({ event }) => event === "scheduler.offered")?.fields["parents"];
  assert.match(offered ?? "", /-seed$/);
  assert.deepEqual(story.scheduler.peers.find(({ hostname }) => hostname === "child")?.state, "succeeded");
  const offers = story.scheduler.decisions.filter(({ hostname, kind }) => hostname === "child" && kind === "parents");
  assert.deepEqual(offers[0]?.chosen, [offered]);
  const ofChild = await desk.run(["explain", url, "-e", socketOf(child), "--peer", "child"]);
  assert.match(ofChild.stdout, /What was decided for this host .*:\n.* was given others to fetch from: 1 of 1 other\n +drawn: /);
  const peersOf = (stdout: string) => (JSON.parse(stdout) as typeof story).scheduler.peers.map(({ hostname }) => hostname);
  assert.deepEqual(peersOf((await desk.run(["explain", url, "-e", socketOf(child), "--peer", "child", "--json"])).stdout), ["child"]);
  assert.equal(errorCodeOf(await desk.run(["explain", "f".repeat(64)])), "task.not-found");
  assert.equal(desk.origin.stats("/file").gets, 1);
});

test("a command without a daemon says so, and how to start one", async () => {
  await using desk = await aDesk({ role: "daemon" });
  desk.daemon.kill("SIGKILL");
  await desk.daemon.exited;
  for (const args of [["ls"], ["stat", "x"], ["rm", "x"], ["explain", "x"], ["get", "http://127.0.0.1:1/x", "-O", join(desk.out, "x")]]) {
    const ran = await desk.run(args); // the socket is still there, and nobody behind it
    assert.deepEqual([errorCodeOf(ran), ran.code], ["daemon.unreachable", 3], args[0]);
    assert.match(ran.stderr, /start one with: anax up/);
  }
});

test("a table is coloured on a terminal only", async () => {
  await using desk = await aDesk({ role: "daemon", content: { "/a": "a" } });
  assert.equal((await desk.get("/a", "a")).code, 0);
  await using terminal = await onTerminal(["ls", "-e", desk.socket]);
  assert.equal(await terminal.exited, 0);
  assert.ok(terminal.text().includes("\u001b[1mTASK"), terminal.text());
  assert.ok(!(await ok(desk, "ls")).includes("\u001b"));
});
