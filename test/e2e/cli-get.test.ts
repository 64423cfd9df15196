import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { contentTaskIdOf, taskIdOf } from "../../src/p2p/model/ids.ts";
import { spawnAnax } from "../kit/anax.ts";
import { aDesk, errorCodeOf, jsonLines, type Desk } from "../kit/cli.ts";
import { generate, sha256OfGenerated } from "../kit/generated-content.ts";
import { sha256OfFile } from "../kit/terminal.ts";

const MIB = 1024 * 1024;
const FILE = { bytes: 9 * MIB + 1, seed: 21 };
const SMALL = { bytes: 5000, seed: 22 };

let desk: Desk;
before(async () => {
  desk = await aDesk({ content: { "/file": FILE, "/small": SMALL, "/empty": "", "/name with space": SMALL } });
});
after(() => desk[Symbol.asyncDispose]());

/** The closing line of a download that has to succeed. */
async function done(path: string, output: string, ...args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const ran = await desk.get(path, output, ...args);
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal(ran.stderr, "");
  return jsonLines(ran.stdout).at(-1)!; // there is one: it succeeded
}

test("a file arrives whole, and a pipe gets JSON lines that end with a summary", async () => {
  const ran = await desk.get("/file", "plain");
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal(await sha256OfFile(join(desk.out, "plain")), sha256OfGenerated(FILE));
  const lines = jsonLines(ran.stdout);
  const [first, last] = [lines[0]!, lines.at(-1)!]; // a download prints at least two
  assert.deepEqual(Object.keys(first), ["event", "title", "totalBytes", "doneBytes", "fromPeersBytes", "fromSourceBytes", "seconds"]);
  assert.deepEqual([first["event"], first["title"], first["totalBytes"]], ["progress", "file", FILE.bytes]);
  const { seconds, ...facts } = last;
  assert.ok(typeof seconds === "number" && seconds > 0);
  assert.deepEqual(facts, {
    event: "done",
    url: desk.origin.url("/file"),
    output: join(desk.out, "plain"),
    taskId: taskIdOf({ url: desk.origin.url("/file") }),
    bytes: FILE.bytes,
    bytesFromPeers: 0,
    bytesFromSource: FILE.bytes,
    bytesFromDisk: 0,
  });
  const again = await done("/file", "again");
  assert.deepEqual([again["bytesFromSource"], again["bytesFromDisk"]], [0, FILE.bytes]);
  assert.equal(desk.origin.stats("/file").gets, 1);
});

test("an empty file and a name with escapes arrive too", async () => {
  await done("/empty", "empty");
  assert.equal((await stat(join(desk.out, "empty"))).size, 0);
  await done("/name%20with%20space", "name with space");
  assert.equal((await stat(join(desk.out, "name with space"))).size, SMALL.bytes);
});

test("a digest that fits is fine, another one fails and leaves nothing at the output", async () => {
  const right = `sha256:${sha256OfGenerated(SMALL)}`;
  await done("/small", "digest-right", "--digest", right, "--tag", "digest");
  const wrong = `sha256:${"0".repeat(64)}`;
  for (const tag of ["digest", "digest-fresh"]) {
    const ran = await desk.get("/small", "digest-wrong", "--digest", wrong, "--tag", tag);
    assert.equal(errorCodeOf(ran), "task.digest-mismatch");
    assert.equal(ran.code, 5);
    assert.ok(ran.stderr.includes(right), ran.stderr);
  }
  assert.ok(!(await desk.outputs()).some((name) => name.includes("digest-wrong")));
  const nonsense = await desk.get("/small", "digest-wrong", "--digest", "sha256:abc");
  assert.deepEqual([errorCodeOf(nonsense), nonsense.code], ["input.invalid", 2]);
});

const RANGES: readonly (readonly [text: string, start: number, end: number])[] = [
  ["0-0", 0, 1],
  ["bytes=10-1033", 10, 1034],
  [`${4 * MIB - 3}-${4 * MIB + 2}`, 4 * MIB - 3, 4 * MIB + 3],
  [`${9 * MIB}-`, 9 * MIB, FILE.bytes],
  ["9000000-99000000", 9_000_000, FILE.bytes],
  ["-5", FILE.bytes - 5, FILE.bytes],
  ["-99000000", 0, FILE.bytes],
];
test("ranges give exactly their bytes, to a file and to standard output", async () => {
  const content = generate(FILE);
  for (const [index, [text, start, end]] of RANGES.entries()) {
    const summary = await done("/file", `range-${index}`, `--range=${text}`);
    assert.equal(summary["bytes"], end - start, text);
    assert.ok(content.subarray(start, end).equals(await readFile(join(desk.out, `range-${index}`))), text);
  }
  const streamed = spawnAnax(["get", desk.origin.url("/file"), "-O", "-", "--range=4194300-4194310", "-e", desk.socket]);
  const chunks: Buffer[] = [];
  for await (const chunk of streamed.stdout!) chunks.push(chunk as Buffer);
  assert.ok(content.subarray(4_194_300, 4_194_311).equals(Buffer.concat(chunks)));
});

const BAD_RANGES: readonly (readonly [text: string, code: string])[] = [
  ["9-2", "input.invalid"],
  ["0-1,4-5", "input.invalid"],
  ["a-b", "input.invalid"],
  [`${FILE.bytes}-`, "task.range-unsatisfiable"],
];
test("a range that makes no sense is refused", async () => {
  for (const [text, code] of BAD_RANGES) {
    const ran = await desk.get("/file", "bad-range", `--range=${text}`);
    assert.deepEqual([errorCodeOf(ran), ran.code], [code, 2], text);
  }
  assert.ok(!(await desk.outputs()).some((name) => name.includes("bad-range")));
});

test("headers reach the origin, and one that is none is refused", async () => {
  await done("/small", "headers", "--tag", "headers", "-H", "X-One: 1", "-H", "Authorization: Bearer abc:def");
  const seen = desk.origin.requests.findLast(({ method, path }) => method === "GET" && path === "/small");
  assert.deepEqual([seen?.headers["x-one"], seen?.headers["authorization"]], ["1", "Bearer abc:def"]);
  for (const bad of ["X-One", "X One: 1", "X-One: 1\r\nX-Two: 2"]) {
    const ran = await desk.get("/small", "bad-header", "-H", bad);
    assert.deepEqual([errorCodeOf(ran), ran.code], ["input.invalid", 2], bad);
  }
});

const idOf = async (...args: readonly string[]) => (await done("/small?a=1&b=2", "named", "--overwrite", ...args))["taskId"];
test("what names a task gives the ids of Dragonfly, and nothing else changes them", async () => {
  const url = desk.origin.url("/small?a=1&b=2");
  assert.equal(await idOf(), taskIdOf({ url }));
  assert.equal(await idOf("-H", "X-Other: 1", "--priority", "3", "--timeout", "1m"), taskIdOf({ url }));
  assert.equal(await idOf("--tag", "t"), taskIdOf({ url, tag: "t" }));
  assert.equal(await idOf("--application", "app"), taskIdOf({ url, application: "app" }));
  assert.equal(
    await idOf("--tag", "t", "--application", "app", "--piece-length", "5MiB"),
    taskIdOf({ url, tag: "t", application: "app", pieceLength: 5 * MIB }),
  );
  assert.equal(await idOf("--filtered-query-param", "a", "--filtered-query-param", "b"), taskIdOf({ url: desk.origin.url("/small") }));
  assert.equal(await idOf("--content-for-calculating-task-id", "mine", "--tag", "t"), contentTaskIdOf("mine"));
});

test("piece lengths have Dragonfly's units: 5MiB is binary, 5MB and 5M are decimal", async () => {
  const url = desk.origin.url("/file");
  for (const [text, pieceLength] of [
    ["5MiB", 5 * MIB],
    ["5MB", 5_000_000],
    ["5M", 5_000_000],
    [String(4 * MIB), 4 * MIB],
  ] as const) {
    const { taskId } = await done("/file", "pieces", "--overwrite", "--piece-length", text);
    assert.equal(taskId, taskIdOf({ url, pieceLength }), text);
    const task = JSON.parse((await desk.run(["stat", String(taskId), "--json"])).stdout) as { pieceLength: number };
    assert.equal(task.pieceLength, pieceLength);
  }
  for (const bad of ["4MB", "1", "elephant", "1TiB"]) {
    const ran = await desk.get("/file", "bad-pieces", "--piece-length", bad);
    assert.deepEqual([errorCodeOf(ran), ran.code], ["input.invalid", 2], bad);
  }
});

test("a timeout ends a download that stalls, with nothing left behind", async () => {
  desk.origin.put("/stalls", FILE);
  desk.origin.setFault("/stalls", { stallAfterBytes: 5 * MIB });
  const ran = await desk.get("/stalls", "stalls", "--timeout", "1s");
  assert.deepEqual([errorCodeOf(ran), ran.code], ["download.deadline", 9]);
  // The second one resumes after the pieces that the first one left: that source has to stall before the first byte.
  desk.origin.setFault("/stalls", { stallAfterBytes: 0 });
  const streamed = await desk.run([
    "get",
    desk.origin.url("/stalls"),
    "-O",
    join(desk.out, "stalls"),
    "--transfer-from-daemon",
    "--timeout",
    "1s",
  ]);
  assert.deepEqual([errorCodeOf(streamed), streamed.code], ["download.deadline", 9]);
  assert.ok(!(await desk.outputs()).some((name) => name.includes("stalls")));
});

test("without the source and without peers a download fails at once", async () => {
  const ran = await desk.get("/small", "nobody", "--tag", "nobody-has-it", "--disable-back-to-source", "--timeout", "60s");
  assert.deepEqual([errorCodeOf(ran), ran.code], ["download.no-source", 3]);
  assert.ok(!(await desk.outputs()).includes("nobody"));
});

test("what is at the output stays, unless overwriting was asked for", async () => {
  const output = join(desk.out, "taken");
  for (const how of [[], ["--transfer-from-daemon"]]) {
    await rm(output, { force: true }); // what is there may be a hard link to the content itself
    await writeFile(output, "mine");
    const ran = await desk.get("/small", "taken", ...how);
    assert.deepEqual([errorCodeOf(ran), ran.code], ["output.exists", 6]);
    assert.equal(await readFile(output, "utf8"), "mine");
    await done("/small", "taken", "--overwrite", ...how);
    assert.equal(await sha256OfFile(output), sha256OfGenerated(SMALL));
  }
});

test("the content goes to standard output with -O -, and a reader that leaves early is no error", async () => {
  const whole = spawnAnax(["get", desk.origin.url("/file"), "-O", "-", "-e", desk.socket]);
  const chunks: Buffer[] = [];
  for await (const chunk of whole.stdout!) chunks.push(chunk as Buffer);
  assert.ok(generate(FILE).equals(Buffer.concat(chunks)));

  const cut = spawnAnax(["get", desk.origin.url("/file"), "-O", "-", "-e", desk.socket]);
  const words: Buffer[] = [];
  cut.stderr!.on("data", (chunk: Buffer) => words.push(chunk));
  cut.stdout!.once("data", () => cut.stdout!.destroy());
  const [code] = (await once(cut, "close")) as [number];
  assert.deepEqual([code, Buffer.concat(words).toString()], [141, ""]);
});

test("SIGINT in the middle leaves nothing at the output", async () => {
  desk.origin.put("/interrupted", FILE);
  for (const how of [[], ["--transfer-from-daemon"]]) {
    desk.origin.setFault("/interrupted", { stallAfterBytes: 5 * MIB });
    const sent = desk.origin.stats("/interrupted").bytesSent;
    const child = spawnAnax(["get", desk.origin.url("/interrupted"), "-O", join(desk.out, "interrupted"), "-e", desk.socket, ...how]);
    const words: Buffer[] = [];
    child.stderr!.on("data", (chunk: Buffer) => words.push(chunk));
    child.stdout!.resume();
    await desk.origin.until(() => desk.origin.stats("/interrupted").bytesSent > sent);
    child.kill("SIGINT");
    const [code] = (await once(child, "close")) as [number];
    assert.equal(errorCodeOf({ code, stdout: "", stderr: Buffer.concat(words).toString() }), "download.cancelled");
    assert.equal(code, 1);
    assert.ok(!(await desk.outputs()).some((name) => name.includes("interrupted")));
  }
  desk.origin.setFault("/interrupted", undefined);
  await done("/interrupted", "interrupted");
});

test("the environment gives options by dfget's names, and the command line wins", async () => {
  const url = desk.origin.url("/small");
  const env = { DFGET_TAG: "env", DFGET_APPLICATION: "app", DFGET_PIECE_LENGTH: "6MiB", DFGET_TRANSFER_FROM_DFDAEMON: "true" };
  const ran = await desk.run(["get", url, "-O", join(desk.out, "environment")], { env });
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal(jsonLines(ran.stdout).at(-1)?.["taskId"], taskIdOf({ url, tag: "env", application: "app", pieceLength: 6 * MIB }));
  assert.equal((await stat(join(desk.out, "environment"))).nlink, 1); // sent through the socket
  const won = await desk.run(["get", url, "-O", join(desk.out, "environment"), "--tag", "flag", "--overwrite"], { env });
  assert.equal(jsonLines(won.stdout).at(-1)?.["taskId"], taskIdOf({ url, tag: "flag", application: "app", pieceLength: 6 * MIB }));
});

const WRONG_LINES: readonly (readonly string[])[] = [
  ["get"],
  ["get", "http://127.0.0.1:1/x"],
  ["get", "no-url", "-O", "x"],
  ["get", "http://127.0.0.1:1/x", "-O", "x", "--no-such-flag"],
  ["get", "http://127.0.0.1:1/x", "-O", "x", "--timeout", "soon"],
  ["get", "http://127.0.0.1:1/x", "-O", "x", "--priority", "9"],
  ["get", "ftp://127.0.0.1/x", "-O", join("/tmp", "never-written")],
  ["gte", "http://127.0.0.1:1/x"],
];
test("a wrong command line is one error with a hint, exit code 2", async () => {
  for (const line of WRONG_LINES) {
    const ran = await desk.run(line);
    assert.equal(ran.code, 2, line.join(" "));
    assert.ok(["input.invalid", "source.unsupported"].includes(errorCodeOf(ran)), ran.stderr);
  }
  assert.match((await desk.run(["gte"])).stderr, /didYouMean=get/);
});
