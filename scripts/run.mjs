#!/usr/bin/env node
// The door to every npm script. Plain JavaScript, because it must run on whatever Node (20 or newer) is there before
// anything is installed: it installs the locked dependencies, among them the Node that Anax runs on, and hands over.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [target = "help", ...args] = process.argv.slice(2);
const TARGETS = {
  demo: "scripts/demo.ts",
  test: "scripts/test.ts",
  check: "scripts/check.ts",
  build: "scripts/build.ts",
  bench: "scripts/bench.ts",
  "bench:broadcast": "bench/broadcast/main.ts",
  "bench:store": "bench/store/main.ts",
  "bench:volume": "bench/volume/main.ts",
  "test:incidents": "test/incidents/main.ts",
  "test:posix": "test/posix/main.ts",
  "test:redis": "test/redis/main.ts",
  "test:chaos": "test/chaos/main.ts",
  "test:slots-sim": "test/sim/slots/main.ts",
  "test:store-crash": "test/store/main.ts",
  "test:store-fuzz": "test/store/fuzz/main.ts",
  "test:store-replication": "test/store/replication-main.ts",
  "test:volume-crash": "test/volume/crash/main.ts",
  "test:volume-suites": "test/volume/suites/main.ts",
  docs: "scripts/docs.ts",
  anax: "bin/anax.ts",
};

if (!Object.hasOwn(TARGETS, target)) {
  console.error(`usage: node scripts/run.mjs ${Object.keys(TARGETS).join("|")} [arguments]`);
  process.exit(2);
}
install();
const node = nodeBinary();
const child = spawnSync(node, ["--disable-warning=ExperimentalWarning", join(root, TARGETS[target]), ...args], {
  stdio: "inherit",
  env: { ...process.env, PATH: `${dirname(node)}:${join(root, "node_modules/.bin")}:${process.env.PATH}` },
});
if (child.error) console.error(String(child.error));
process.exit(child.status ?? 1);

/** The locked packages, once per lock file. Not `npm ci`: it refuses a lock file that lacks optional binaries of foreign platforms. */
function install() {
  const stamp = join(root, "node_modules/.package-lock.sha256");
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;
  console.error("Installing the locked npm packages (once)...");
  const done = spawnSync("npm", ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, "inherit"],
  });
  if (done.status !== 0) {
    console.error("npm install failed; see above.");
    process.exit(done.status ?? 1);
  }
  writeFileSync(stamp, lock);
}

/** The Node that is running when it is new enough, else the one from the npm registry. */
function nodeBinary() {
  const packaged = join(root, `node_modules/node-${process.platform}-${process.arch}/bin/node`);
  if (existsSync(packaged)) return packaged;
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > 24 || (major === 24 && minor >= 12)) return process.execPath;
  console.error(
    `Anax needs Node 24.12 or newer; this is ${process.version}, and there is no packaged one for ${process.platform}-${process.arch}.`,
  );
  process.exit(1);
}
