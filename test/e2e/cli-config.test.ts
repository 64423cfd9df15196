import assert from "node:assert/strict";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { COMMANDS } from "../../src/cli/main.ts";
import { runAnax } from "../kit/anax.ts";
import { errorCodeOf } from "../kit/cli.ts";
import { missingPrograms, run } from "../kit/process.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

async function withFile(text: string, use: (path: string) => Promise<void>): Promise<void> {
  await using dir = await temporaryDirectory();
  const path = join(dir.path, "anax.yaml");
  await writeFile(path, text);
  await use(path);
}

test("config prints what is in force: flag over environment over file over default", async () => {
  await withFile("logLevel: warn\np2p: {proxy: {port: 5001}, pieces: {quotaBytes: 10GiB}}\n", async (file) => {
    const env = { ANAX_P2P_PROXY_PORT: "5002", ANAX_P2P_DAEMON_SCHEDULERS: "[a:1, b:2]" };
    const ran = await runAnax(["config", "--json", "--config", file, "--set", "p2p.proxy.port=5003"], { env });
    const settings = JSON.parse(ran.stdout) as { logLevel: string; p2p: Record<string, Record<string, unknown>> };
    assert.equal(settings.logLevel, "warn");
    assert.equal(settings.p2p["proxy"]?.["port"], 5003);
    assert.equal(settings.p2p["pieces"]?.["quotaBytes"], 10 * 1024 ** 3);
    assert.deepEqual(settings.p2p["daemon"]?.["schedulers"], ["a:1", "b:2"]);
    assert.equal(settings.p2p["daemon"]?.["uploadPort"], 4000);
    const yaml = await runAnax(["config"], { env: { ...env, ANAX_CONFIG: file } });
    assert.match(yaml.stdout, /^ {4}port: 5002$/m);
    const valid = await runAnax(["config", "--validate", "--config", file]);
    assert.deepEqual([valid.code, valid.stdout], [0, "The settings are valid.\n"]);
  });
});

const BAD_FILES: readonly (readonly [what: string, text: string, said: RegExp])[] = [
  ["an unknown setting", "p2p: {proxy: {prot: 1}}", /p2p\.proxy\.prot: unknown setting, did you mean p2p\.proxy\.port\?/],
  ["a wrong value", "p2p: {proxy: {port: 70000}}", /p2p\.proxy\.port: /],
  ["a wrong unit", "p2p: {pieces: {quotaBytes: 4 elephants}}", /p2p\.pieces\.quotaBytes: expected a size such as 4MiB/],
  ["several problems", "logLevel: loud\nstatus: {port: x}", /logLevel: .*status\.port: /],
  ["no map", "- a\n- b", /not a map of settings/],
  ["no YAML", "a: [1,\nb: }", /line/],
];
for (const [what, text, said] of BAD_FILES) {
  test(`config --validate refuses a file with ${what}, on one line with exit code 2`, async () => {
    await withFile(text, async (file) => {
      for (const args of [
        ["config", "--validate"],
        ["up", "--data-dir", "/nonexistent"],
      ]) {
        const ran = await runAnax([...args, "--config", file]);
        assert.equal(errorCodeOf(ran), "config.invalid");
        assert.equal(ran.code, 2);
        assert.match(ran.stderr, said);
      }
    });
  });
}

test("a settings file that cannot be read, and an unknown setting on the command line, are refused", async () => {
  const missing = await runAnax(["config", "--config", "/nonexistent/anax.yaml"]);
  assert.deepEqual([errorCodeOf(missing), missing.code], ["config.unreadable", 2]);
  const unknown = await runAnax(["config", "--set", "p2p.pieces.qoutaBytes=1GiB"]);
  assert.match(unknown.stderr, /did you mean p2p\.pieces\.quotaBytes\?/);
});

test("config never prints a secret", async () => {
  const text = `p2p:
  source: {s3AccessKeyId: AKID, s3AccessKeySecret: hunter2, s3SessionToken: hunter2, proxyUrl: "http://me:hunter2@proxy.example:3128"}
  proxy:
    username: me
    password: hunter2
    registries: {registry.example: {username: me, password: hunter2}}
`;
  await withFile(text, async (file) => {
    for (const more of [[], ["--json"]]) {
      const ran = await runAnax(["config", "--config", file, ...more], { env: { ANAX_P2P_SOURCE_S3_SESSION_TOKEN: "hunter2" } });
      assert.equal(ran.code, 0, ran.stderr);
      assert.ok(!ran.stdout.includes("hunter2"), ran.stdout);
      assert.equal(ran.stdout.split("[secret]").length, 6);
      assert.ok(ran.stdout.includes("AKID"));
    }
  });
});

test("config describes every setting, and gives editors a schema", async () => {
  const help = await runAnax(["config", "--help"]);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /p2p\.proxy\.port = 4001\n.*\n.*ANAX_P2P_PROXY_PORT/);
  const schema = JSON.parse((await runAnax(["config", "--schema"])).stdout) as { properties: Record<string, unknown> };
  assert.ok("p2p" in schema.properties);
});

test("version and help say what there is", async () => {
  assert.match((await runAnax(["version"])).stdout, /^anax \d+\.\d+\.\d+ \(node 24\.\d+\.\d+, linux-/);
  assert.deepEqual(Object.keys(JSON.parse((await runAnax(["version", "--json"])).stdout) as object), ["anax", "node", "platform"]);
  for (const args of [[], ["--help"]]) {
    const help = await runAnax(args);
    assert.equal(help.code, 0);
    for (const name of Object.keys(COMMANDS)) assert.match(help.stdout, new RegExp(`^ {2}${name}\\b`, "m"));
  }
  for (const name of Object.keys(COMMANDS)) {
    const help = await runAnax([name, "--help"]);
    assert.equal(help.code, 0);
    assert.match(help.stdout, new RegExp(`^Usage: anax ${name} `));
  }
});

for (const shell of ["bash", "zsh", "fish"] as const) {
  test(`the completion script is sound to ${shell} and knows every command`, async (t) => {
    const script = await runAnax(["completion", shell]);
    assert.equal(script.code, 0, script.stderr);
    for (const name of Object.keys(COMMANDS)) assert.ok(script.stdout.includes(name), name);
    if (missingPrograms([shell]).length > 0) return t.skip(`${shell} is not installed`);
    await using dir = await temporaryDirectory();
    const path = join(dir.path, "completion");
    await writeFile(path, script.stdout);
    const checked = await run(shell, ["-n", path]);
    assert.deepEqual([checked.code, checked.stderr], [0, ""]);
  });
}

test("bash completes commands and flags", async () => {
  const { stdout } = await runAnax(["completion", "bash"]);
  const complete = async (words: readonly string[]): Promise<readonly string[]> => {
    const asked = `${stdout}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}; _anax; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return (await run("bash", ["-c", asked])).stdout.trim().split("\n");
  };
  assert.deepEqual(await complete(["anax", "do"]), ["doctor"]);
  assert.deepEqual(await complete(["anax", "get", "--dis"]), ["--disable-back-to-source"]);
  assert.deepEqual(await complete(["anax", "completion", "f"]), ["fish"]);
});

test("doctor finds what is wrong and says what to mend, with exit code 1", async (t) => {
  const broken = await runAnax(["doctor", "--set", "p2p.proxy.prot=1"]);
  assert.equal(broken.code, 1);
  assert.match(broken.stdout, /FAIL +settings +.*did you mean p2p\.proxy\.port/);
  await using dir = await temporaryDirectory();
  const lonely = await runAnax(["doctor", "--data-dir", dir.path, "--set", "p2p.daemon.schedulers=[127.0.0.1:1]"]);
  assert.equal(lonely.code, 1);
  assert.match(lonely.stdout, /warn +daemon +no socket at .*\n +→ start one: anax up/);
  assert.match(lonely.stdout, /FAIL +schedulers +127\.0\.0\.1:1 does not answer/);
  if (process.getuid?.() !== 0) return t.skip("needs root: to be another user");
  const closed = join(dir.path, "closed");
  await mkdir(closed, { mode: 0o700 });
  await chmod(dir.path, 0o755);
  const denied = await runAnax(["doctor", "--data-dir", closed], { uid: 65_534, gid: 65_534 });
  assert.match(denied.stdout, /FAIL +data directory .*\n +→ give this user the directory/);
});
