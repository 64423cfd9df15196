import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { builtProgram } from "../kit/build.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

const LAUNCHER = join(dirname(builtProgram()), "anax");

test("what npm links into PATH finds its package through links, and runs on the Node of the package whatever is in PATH", async () => {
  await using temporary = await temporaryDirectory();
  const directory = temporary.path;
  const bin = join(directory, "a dir/bin");
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, "node"), "#!/bin/sh\nexit 99\n");
  chmodSync(join(bin, "node"), 0o755);
  symlinkSync(LAUNCHER, join(directory, "first"));
  symlinkSync(relative(bin, join(directory, "first")), join(bin, "anax"));

  const env = { PATH: `${bin}:${process.env["PATH"] ?? ""}`, HOME: directory };
  const done = spawnSync("anax", ["version"], { encoding: "utf8", env });
  assert.equal(done.status, 0, done.stderr);
  assert.match(done.stdout, new RegExp(String.raw`^anax \S+ \(node ${process.versions.node.replaceAll(".", String.raw`\.`)},`));

  const wrong = spawnSync("anax", ["get", "two words", "-O", "$(x) 'y'"], { encoding: "utf8", env });
  assert.equal(wrong.status, 2);
  assert.match(wrong.stderr, /input\.invalid: .*two words/, "arguments arrive as they are");
});
