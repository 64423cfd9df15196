import assert from "node:assert/strict";
import { once } from "node:events";
import { stat, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { exitOf, runAnax, spawnAnax, startAnax } from "../kit/anax.ts";
import { aDesk, errorCodeOf, jsonLines, socketOf } from "../kit/cli.ts";
import { sha256OfGenerated } from "../kit/generated-content.ts";
import { startOrigin } from "../kit/origin.ts";
import { waitFor } from "../kit/process.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";
import { onTerminal, sha256OfFile } from "../kit/terminal.ts";

const MIB = 1024 * 1024;
const CONTENT = { bytes: 9 * MIB + 1, seed: 11 };

test("up serves, says what listens where, answers on its status pages, and passes the doctor", async () => {
  await using desk = await aDesk({ content: { "/file": CONTENT } });
  const { daemon } = desk;
  assert.deepEqual(Object.keys(daemon.listeners).toSorted(), ["proxy", "scheduler", "socket", "status", "transfer", "upload"]);
  const page = async (path: string) => {
    const reply = await fetch(`${daemon.listeners["status"]}${path}`);
    return { status: reply.status, text: await reply.text() };
  };
  await waitFor(async () => (await page("/readyz")).status === 200); // it joins its scheduler
  assert.deepEqual(await page("/healthz"), { status: 200, text: "ok\n" });
  assert.deepEqual(await page("/readyz"), { status: 200, text: "ready\n" });
  assert.equal((await page("/nothing")).status, 404);
  assert.equal((await desk.get("/file", "file")).code, 0);
  const metrics = await page("/metrics");
  assert.match(
    metrics.text,
    new RegExp(`^anax_daemon_received_bytes_total\\{[^}]*traffic="back-to-source"[^}]*\\} ${CONTENT.bytes}$`, "m"),
  );
  const status = JSON.parse((await page("/")).text) as { pid: number; daemon: { seed: boolean; tasks: number } };
  assert.deepEqual([status.pid, status.daemon.seed, status.daemon.tasks], [daemon.pid, true, 1]);

  const doctor = await runAnax(["doctor", "--json", "--data-dir", daemon.dataDir]);
  const findings = jsonLines(doctor.stdout);
  assert.deepEqual(
    findings.filter(({ state }) => state === "fail"),
    [],
  );
  assert.match(String(findings.find(({ check }) => check === "daemon")?.["found"]), new RegExp(`answers, pid ${daemon.pid}`));
  assert.equal(doctor.code, 0);
});

test("a person at a terminal gets a table and no log lines, a pipe gets the log as JSON", async () => {
  await using dir = await temporaryDirectory();
  await using terminal = await onTerminal(["up", "--data-dir", dir.path, ...FREE_PORTS]);
  await terminal.shows("Try: anax get");
  await terminal.type("\u0003"); // Ctrl-C
  assert.equal(await terminal.exited, 0);
  assert.match(terminal.text(), /anax \S+ \(scheduler, daemon\) is ready after .*; data in /);
  assert.match(terminal.text(), /proxy +http:\/\/127\.0\.0\.1:\d+ +registry mirror/);
  assert.doesNotMatch(terminal.text(), /\{"level"/);

  await using piped = await startAnax("up", { dataDir: join(dir.path, "piped") });
  assert.ok(jsonLines(piped.stderr()).some(({ event, level }) => event === "node.ready" && level === "info"));
});

test("SIGTERM drains: running downloads end with a reason, nothing stays at their output, and the exit code is 0", async () => {
  await using desk = await aDesk({ content: { "/slow": CONTENT }, faults: { "/slow": { stallAfterBytes: 5 * MIB } } });
  const running = desk.get("/slow", "slow", "--reconnect-timeout", "0s");
  await desk.origin.until(() => desk.origin.stats("/slow").bytesSent >= 5 * MIB);
  desk.daemon.kill("SIGTERM");
  const [ran, code] = await Promise.all([running, desk.daemon.exited]);
  assert.equal(code, 0, desk.daemon.stderr());
  assert.ok(["daemon.stopping", "daemon.unreachable"].includes(errorCodeOf(ran)), ran.stderr);
  assert.notEqual(ran.code, 0);
  assert.deepEqual(await desk.outputs(), []);
  assert.deepEqual(
    jsonLines(desk.daemon.stderr()).filter(({ level }) => level === "error"),
    [],
  );
  assert.equal(await stat(desk.socket).catch(() => "gone"), "gone");
});

test("after kill -9 the same data directory serves again by itself, with its tasks, and the origin is not asked", async () => {
  await using dir = await temporaryDirectory();
  await using origin = await startOrigin({ content: { "/file": CONTENT } });
  const url = origin.url("/file");
  const dataDir = join(dir.path, "data");
  {
    await using first = await startAnax("up", { dataDir });
    assert.equal((await runAnax(["get", url, "-O", join(dir.path, "one"), "-e", socketOf(first)])).code, 0);
    first.kill("SIGKILL");
    assert.equal(await first.exited, "SIGKILL");
  }
  await using second = await startAnax("up", { dataDir });
  const socket = socketOf(second);
  assert.match((await runAnax(["ls", "--wide", "-e", socket])).stdout, new RegExp(`finished +100% .*${url}`));
  const output = join(dir.path, "two");
  const again = await runAnax(["get", url, "-O", output, "-e", socket, "--disable-back-to-source"]);
  assert.equal(again.code, 0, again.stderr);
  assert.equal(await sha256OfFile(output), sha256OfGenerated(CONTENT));
  assert.equal(origin.totals().gets, 1);
});

test("a second daemon on the same data directory is refused with the first one's pid, and does not disturb it", async () => {
  await using desk = await aDesk({ content: { "/file": CONTENT } });
  for (const role of ["up", "daemon"]) {
    const second = await runAnax([role, "--data-dir", desk.daemon.dataDir, "--log-level", "error", ...FREE_PORTS]);
    assert.equal(errorCodeOf(second), "daemon.already-running");
    assert.equal(second.code, 8);
    assert.match(second.stderr, new RegExp(`pid=${desk.daemon.pid}\\b`));
  }
  assert.equal((await desk.get("/file", "file")).code, 0);
});

const PORTS: readonly (readonly [setting: string, role: string])[] = [
  ["scheduler.port", "up"],
  ["status.port", "up"],
  ["p2p.daemon.uploadPort", "daemon"],
  ["p2p.daemon.transferPort", "daemon"],
  ["p2p.proxy.port", "daemon"],
  ["status.schedulerPort", "scheduler"],
];
for (const [setting, role] of PORTS) {
  test(`a port that is taken ends the start with one error that names ${setting}`, async () => {
    await using dir = await temporaryDirectory();
    await using taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo; // listening on TCP
    const local = ["scheduler.listenHost", "p2p.daemon.listenHost"].flatMap((name) => ["--set", `${name}=127.0.0.1`]);
    const ran = await runAnax([
      role,
      "--data-dir",
      dir.path,
      "--log-level",
      "error",
      ...local,
      ...FREE_PORTS,
      "--set",
      `${setting}=${port}`,
    ]);
    assert.equal(errorCodeOf(ran), "listen.address-in-use");
    assert.equal(ran.code, 8);
    assert.ok(ran.stderr.includes(setting) && ran.stderr.includes(String(port)), ran.stderr);
  });
}

test("an unusable data directory ends the start with one error", async () => {
  await using dir = await temporaryDirectory();
  const file = join(dir.path, "file");
  await writeFile(file, "");
  const ran = await runAnax(["up", "--data-dir", join(file, "below"), ...FREE_PORTS]);
  assert.match(errorCodeOf(ran), /^disk\.io$/);
  assert.ok(ran.stderr.includes(file), ran.stderr);
  const relative = await runAnax(["up", "--data-dir", "relative", ...FREE_PORTS]);
  assert.equal(errorCodeOf(relative), "config.invalid");
  assert.equal(relative.code, 2);
});

test("a daemon without a scheduler works alone", async () => {
  await using desk = await aDesk({ role: "daemon", content: { "/file": CONTENT } });
  assert.equal((await desk.get("/file", "file")).code, 0);
  const explained = await desk.run(["explain", desk.origin.url("/file")]);
  assert.match(explained.stdout, /no scheduler is configured/);
});

test("a second signal ends a daemon that drains at once", async () => {
  await using dir = await temporaryDirectory();
  const child = spawnAnax(["up", "--json", "--data-dir", dir.path, ...FREE_PORTS]);
  child.stderr!.resume();
  await once(child.stdout!, "data"); // it serves
  const exited = exitOf(child);
  child.kill("SIGTERM");
  child.kill("SIGTERM");
  assert.ok([0, 1].includes((await exited) as number)); // 0 when it was done before the second came
});

const FREE_PORTS = [
  "scheduler.port",
  "status.port",
  "status.schedulerPort",
  "p2p.daemon.uploadPort",
  "p2p.daemon.transferPort",
  "p2p.proxy.port",
].flatMap((name) => ["--set", `${name}=0`]);
