import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { exitOf, spawnAnax, startAnax, type AnaxProcess, type Ran } from "../kit/anax.ts";
import { errorCodeOf, jsonLines, socketOf } from "../kit/cli.ts";
import { generate, sha256OfGenerated } from "../kit/generated-content.ts";
import { startOrigin } from "../kit/origin.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";
import { sha256OfFile } from "../kit/terminal.ts";

const MIB = 1024 * 1024;
const FILE = { bytes: 24 * MIB + 5, seed: 31 };

interface Death {
  readonly args: readonly string[];
  readonly signal?: NodeJS.Signals;
  /** Default: the file of the origin. */
  readonly url?: string;
  /** Another daemon is started in its place; default: yes. */
  readonly isReplaced?: boolean;
  /** Happens while nobody is there. */
  readonly meanwhile?: (origin: Awaited<ReturnType<typeof startOrigin>>) => void;
}

/** `anax get` whose daemon dies when half of the file has left the origin, and what it printed. */
async function across(scope: AsyncDisposableStack, dir: string, death: Death): Promise<Ran & { readonly bytes: Buffer }> {
  const origin = scope.use(await startOrigin({ content: { "/file": FILE }, faults: { "/file": { bytesPerSecond: 16 * MIB } } }));
  const started = async (): Promise<AnaxProcess> => scope.use(await startAnax("daemon", { dataDir: join(dir, "data") }));
  const first = await started();
  const child = spawnAnax(["get", death.url ?? origin.url("/file"), "-e", socketOf(first), ...death.args]);
  scope.defer(() => void child.kill("SIGKILL"));
  const chunks: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout!.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stderr!.on("data", (chunk: Buffer) => errors.push(chunk));
  const ended = exitOf(child);
  await origin.until(() => origin.totals().bytesSent >= FILE.bytes / 2);
  first.kill(death.signal ?? "SIGKILL");
  await first.exited;
  death.meanwhile?.(origin);
  if (death.isReplaced !== false) await started();
  const code = await ended;
  const bytes = Buffer.concat(chunks);
  return { code, bytes, stdout: bytes.length < MIB ? bytes.toString() : "", stderr: Buffer.concat(errors).toString() };
}

for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  test(`a file arrives although its daemon gets ${signal} and is started again`, async () => {
    await using scope = new AsyncDisposableStack();
    const { path: dir } = scope.use(await temporaryDirectory());
    const ran = await across(scope, dir, { args: ["-O", join(dir, "file")], signal });
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal(await sha256OfFile(join(dir, "file")), sha256OfGenerated(FILE));
    const lines = jsonLines(ran.stdout);
    assert.ok(
      lines.some((line) => line["waitingForDaemon"] === true),
      ran.stdout,
    );
    const { bytes, bytesFromSource, bytesFromDisk } = lines.at(-1)!; // it succeeded
    assert.deepEqual([bytes, Number(bytesFromSource) + Number(bytesFromDisk)], [FILE.bytes, FILE.bytes]);
  });
}

test("what goes to standard output goes on behind the last byte that was written", async () => {
  await using scope = new AsyncDisposableStack();
  const { path: dir } = scope.use(await temporaryDirectory());
  const ran = await across(scope, dir, { args: ["-O", "-"] });
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal(ran.bytes.length, FILE.bytes);
  assert.equal(createHash("sha256").update(ran.bytes).digest("hex"), sha256OfGenerated(FILE));
});

test("the same for a range, and for a file that comes through the socket", async () => {
  await using scope = new AsyncDisposableStack();
  const { path: dir } = scope.use(await temporaryDirectory());
  const range = ["--range", `1000-${FILE.bytes - 2}`];
  const ran = await across(scope, dir, { args: ["-O", "-", ...range] });
  assert.equal(ran.code, 0, ran.stderr);
  const whole = generate(FILE);
  assert.ok(ran.bytes.equals(whole.subarray(1000, FILE.bytes - 1)), `${ran.bytes.length} bytes`);
  await mkdir(join(dir, "b"));
  const file = await across(scope, join(dir, "b"), { args: ["-O", join(dir, "file"), "--transfer-from-daemon", "--range=-20000000"] });
  assert.equal(file.code, 0, file.stderr);
  assert.ok((await readFile(join(dir, "file"))).equals(whole.subarray(-20_000_000)));
});

test("content that has changed meanwhile is no rest of what standard output has", async () => {
  await using scope = new AsyncDisposableStack();
  const { path: dir } = scope.use(await temporaryDirectory());
  const other = { bytes: FILE.bytes, seed: 99 };
  const ran = await across(scope, dir, { args: ["-O", "-"], meanwhile: (origin) => origin.put("/file", other) });
  assert.equal(ran.code, 5, ran.stderr);
  assert.match(ran.stderr, /source\.changed/);
});

test("files of a directory arrive although the daemon dies in the middle", async () => {
  await using scope = new AsyncDisposableStack();
  const { path: dir } = scope.use(await temporaryDirectory());
  await mkdir(join(dir, "from"));
  const names = Array.from({ length: 60 }, (_, i) => `f${i}`);
  for (const [i, name] of names.entries()) await writeFile(join(dir, "from", name), generate({ bytes: 2 * MIB, seed: i }));
  const dataDir = join(dir, "data");
  const set = { "p2p.source.fileRoots": `["${dir}"]`, "p2p.rates.sourceBytesPerSecond": "32MiB/s" };
  const first = scope.use(await startAnax("daemon", { dataDir, set }));
  const child = spawnAnax(["get", `file://${dir}/from/`, "-r", "-O", join(dir, "to"), "-e", socketOf(first), "--json"]);
  const ended = exitOf(child);
  child.stderr!.pipe(process.stderr);
  for await (const line of createInterface({ input: child.stdout! })) if (Number(jsonLines(line)[0]?.["doneBytes"]) > 16 * MIB) break;
  child.stdout!.resume();
  first.kill("SIGKILL");
  await first.exited;
  scope.use(await startAnax("daemon", { dataDir, set }));
  assert.equal(await ended, 0);
  for (const [i, name] of names.entries())
    assert.equal(await sha256OfFile(join(dir, "to", name)), sha256OfGenerated({ bytes: 2 * MIB, seed: i }), name);
});

test("a daemon that does not come back in time is an error, at once where nobody wants to wait", async () => {
  for (const [wait, text] of [
    ["1s", "waited=1.0 s"],
    ["0s", "daemon."],
  ] as const) {
    await using scope = new AsyncDisposableStack();
    const { path: dir } = scope.use(await temporaryDirectory());
    const args = ["-O", join(dir, "file"), "--reconnect-timeout", wait];
    const ran = await across(scope, dir, { args, isReplaced: false });
    assert.equal(ran.code, 3);
    assert.equal(errorCodeOf(ran), "daemon.unreachable");
    assert.match(ran.stderr, new RegExp(text));
  }
});
