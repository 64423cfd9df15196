import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { exitOf, runAnax, startAnax, type Ran } from "../kit/anax.ts";
import { builtProgram } from "../kit/build.ts";
import { aDesk, jsonLines, socketOf, type Desk } from "../kit/cli.ts";
import { startOrigin } from "../kit/origin.ts";
import { waitFor } from "../kit/process.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

const LAUNCHER = join(dirname(builtProgram()), "anax");
/** A Node that is started with it fails. */
const WITHOUT_NODE = { NODE_OPTIONS: "--require /nowhere/to/be/found.js" };

interface Place {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** The program as it is in PATH. */
async function launch(args: readonly string[], { cwd, env = {} }: Place): Promise<Ran> {
  const child = spawn(LAUNCHER, args, { cwd, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), exitOf(child)]);
  return { stdout, stderr, code };
}

/** Without what differs from run to run. */
const linesOf = ({ stdout }: Ran): readonly object[] => jsonLines(stdout).map((line) => ({ ...line, seconds: 0, output: "", taskId: "" }));

test("a small get is done by the daemon, without another Node, and says the same", async () => {
  await using desk = await aDesk({ content: { "/a file": "small" } });
  const url = desk.origin.url("/a%20file");
  const quick = await launch(["get", url, "-e", desk.socket, "-O", 'it\'s "here" & $(there)', "--tag", "1"], {
    cwd: desk.out,
    env: WITHOUT_NODE,
  });
  assert.deepEqual([quick.code, quick.stderr], [0, ""]);
  assert.equal(await readFile(join(desk.out, 'it\'s "here" & $(there)'), "utf8"), "small");
  assert.equal(jsonLines(quick.stdout).at(-1)!["output"], 'it\'s "here" & $(there)');
  const usual = await desk.get("/a%20file", "usual", "--tag", "2");
  assert.deepEqual(linesOf(quick), linesOf(usual), "from the source");
  const again = await launch(["get", "--no-progress", url, "-e", desk.socket, "-O", "again", "--tag", "1"], {
    cwd: desk.out,
    env: WITHOUT_NODE,
  });
  assert.deepEqual(linesOf(again), linesOf(await desk.get("/a%20file", "usual again", "--tag", "2", "--no-progress")), "from the disk");
  assert.equal(desk.origin.stats("/a file").gets, 2);
});

test("the daemon is found as the command finds it", async () => {
  await using desk = await aDesk({ content: { "/file": "small" } });
  const dataDir = dirname(desk.socket);
  const words = ["get", desk.origin.url("/file"), "-O"];
  for (const [at, [more, env]] of (
    [
      [["--data-dir", dataDir], {}],
      [[], { ANAX_DATA_DIR: dataDir }],
    ] as const
  ).entries()) {
    const ran = await launch([...words, `out${at}`, ...more], { cwd: desk.out, env: { ...env, ...WITHOUT_NODE } });
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal(await readFile(join(desk.out, `out${at}`), "utf8"), "small");
  }
});

test("what takes long goes on as a command of its own, and is read once", async () => {
  const bytes = 3 * 1024 * 1024;
  await using desk = await aDesk({ content: { "/file": { bytes, seed: 1 } }, faults: { "/file": { bytesPerSecond: 1024 * 1024 } } });
  const ran = await launch(["get", desk.origin.url("/file"), "-e", desk.socket, "-O", "out"], { cwd: desk.out });
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal(jsonLines(ran.stdout).at(-1)!["bytes"], bytes);
  assert.equal((await readFile(join(desk.out, "out"))).length, bytes);
  assert.equal(desk.origin.stats("/file").bytesSent, bytes);
});

test("an output that is there, content that is not, and wrong words get the error that they always get", async () => {
  await using desk = await aDesk({ content: { "/file": "small" } });
  await writeFile(join(desk.out, "there"), "mine");
  for (const words of [
    [desk.origin.url("/file"), "-O", "there"],
    [desk.origin.url("/none"), "-O", "new"],
    [desk.origin.url("/file"), "-O", "new", "--digest", `sha256:${"0".repeat(64)}`],
    [desk.origin.url("/file"), "-O", "new", "--nonsense"],
    ["no url", "-O", "new"],
    [desk.origin.url("/file")],
  ]) {
    const args = ["get", ...words, "-e", desk.socket];
    const [quick, usual] = [await launch(args, { cwd: desk.out }), await runAnax(args, { cwd: desk.out })];
    assert.deepEqual([quick.code, quick.stderr], [usual.code, usual.stderr]);
    assert.notEqual(quick.code, 0);
  }
  assert.equal(await readFile(join(desk.out, "there"), "utf8"), "mine");
  assert.deepEqual(await desk.outputs(), ["there"]);
});

test("options from the environment, and a machine without curl, take the usual way", async () => {
  await using desk = await aDesk({ content: { "/file": "small" } });
  const bin = join(desk.dir, "bin");
  await mkdir(bin);
  for (const name of ["readlink", "id"]) await symlink(`/usr/bin/${name}`, join(bin, name));
  const words = ["get", desk.origin.url("/file"), "-e", desk.socket, "-O"];
  const tagged = await launch([...words, "tagged"], { cwd: desk.out, env: { DFGET_TAG: "another" } });
  const untagged = await launch([...words, "untagged"], { cwd: desk.out, env: WITHOUT_NODE });
  const noCurl = await launch([...words, "no curl"], { cwd: desk.out, env: { PATH: bin } });
  assert.deepEqual([tagged.code, untagged.code, noCurl.code], [0, 0, 0], noCurl.stderr);
  const tasks = [tagged, untagged, noCurl].map(({ stdout }) => jsonLines(stdout).at(-1)!["taskId"]);
  assert.deepEqual([tasks[0] === tasks[1], tasks[1] === tasks[2]], [false, true]);
});

test("a daemon that dies meanwhile is waited for", async () => {
  await using scope = new AsyncDisposableStack();
  const { path: dir } = scope.use(await temporaryDirectory());
  const bytes = 1024 * 1024;
  const origin = scope.use(
    await startOrigin({ content: { "/file": { bytes, seed: 2 } }, faults: { "/file": { bytesPerSecond: bytes, times: 1 } } }),
  );
  const first = scope.use(await startAnax("daemon", { dataDir: join(dir, "data") }));
  const get = launch(["get", origin.url("/file"), "-e", socketOf(first), "-O", "out"], { cwd: dir });
  await origin.until(() => origin.totals().bytesSent > 0);
  first.kill("SIGKILL");
  await first.exited;
  scope.use(await startAnax("daemon", { dataDir: join(dir, "data") }));
  const ran = await get;
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal((await readFile(join(dir, "out"))).length, bytes);
});

test("one that is told to end ends at once, and the daemon gives up what it was to do", async () => {
  await using desk = await aDesk({ content: { "/file": { bytes: 100_000, seed: 3 } }, faults: { "/file": { stallAfterBytes: 50_000 } } });
  const child = spawn(LAUNCHER, ["get", desk.origin.url("/file"), "-e", desk.socket, "-O", "out"], {
    cwd: desk.out,
    stdio: ["ignore", "ignore", "pipe"],
  });
  await desk.origin.until(() => desk.origin.totals().bytesSent > 0);
  child.kill("SIGTERM");
  assert.deepEqual([await text(child.stderr), await exitOf(child)], ["error download.cancelled: the download was cancelled\n", 1]);
  await waitFor(async () => desk.daemon.stderr().includes("nobody waits for it any more"));
  assert.deepEqual(await desk.outputs(), []);
});

test("whoever speaks to that socket otherwise is refused, and nothing is made", async () => {
  await using desk = await aDesk({ content: { "/file": "small" } });
  const words = [desk.origin.url("/file"), "-O", "out"];
  const here = { directory: desk.out };
  for (const body of [
    undefined,
    "",
    "%%%",
    form({}, ...words),
    form({ directory: "out" }, ...words),
    form(here, ...words, "-e", "/another/daemon.sock"),
    form(here, ...words, "--set", "a=b"),
    form(here, ...words, "--range", "0-1"),
    form(here, words[0]!, "-O", "-"),
    form(here, ...words, "--help"),
    form(here, ...words) + "x".repeat(70_000),
  ])
    assert.equal(await posted(desk, body), 409, body?.slice(0, 200));
  assert.deepEqual(await desk.outputs(), []);
  assert.equal(await posted(desk, form(here, ...words)), 200);
});

const form = (of: Readonly<Record<string, string>>, ...words: readonly string[]): string =>
  new URLSearchParams([...Object.entries(of), ...words.map((word) => ["word", word] as [string, string])]).toString();

/** The status of the answer. */
const posted = (desk: Desk, body: string | undefined): Promise<number | undefined> =>
  new Promise((done, failed) => {
    const sent = request({ socketPath: `${desk.socket}.get`, method: body === undefined ? "GET" : "POST" }, (response) => {
      response.resume().once("close", () => done(response.statusCode));
    });
    sent.once("error", failed).end(body);
  });
