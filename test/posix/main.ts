import { mkdirSync, readdirSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { aVolumePlace, unmountable } from "../kit/mounted-volume.ts";
import { run } from "../kit/process.ts";
import { parseTap } from "./tap.ts";

// npm run test:posix -- --suite DIR [--only chmod,rename]: runs a built pjdfstest through a mount of a new volume. The last line of standard output counts.

const { values } = parseArgs({
  options: { suite: { type: "string" }, only: { type: "string", default: "" }, dir: { type: "string" } },
});
if (values.suite === undefined) throw new Error("usage: npm run test:posix -- --suite DIR [--only chmod,rename] [--dir REFERENCE]");
const tests = join(resolve(values.suite), "tests");
const only = values.only.split(",").filter((name) => name !== "");
const files = (readdirSync(tests, { recursive: true }) as string[])
  .filter((file) => file.endsWith(".t") && (only.length === 0 || only.includes(file.split("/")[0]!))) // `split` gives at least one
  .toSorted();
if (!statSync(join(resolve(values.suite), "pjdfstest"), { throwIfNoEntry: false })?.isFile())
  throw new Error(`${values.suite} holds no built pjdfstest: autoreconf -ifs && ./configure && make pjdfstest`);

await using scope = new AsyncDisposableStack();
let [assertions, failed] = [0, 0];
const dir = values.dir ?? (await mounted());
for (const file of files) {
  const work = join(dir, file.replaceAll("/", "-"));
  mkdirSync(work);
  const { stdout, stderr } = await run("sh", [join(tests, file)], { cwd: work, timeoutMs: 600_000 });
  const found = parseTap(stdout);
  assertions += found.assertions;
  failed += found.failures.length;
  for (const failure of found.failures) console.log(`${relative(tests, join(tests, file))}: ${failure}`);
  if (found.failures.length > 0 && stderr !== "") console.error(stderr.slice(0, 2000));
}
console.log(JSON.stringify({ assertions, failed }));
process.exitCode = failed === 0 && assertions > 0 ? 0 : 1;

async function mounted(): Promise<string> {
  const reason = unmountable();
  if (reason !== undefined) throw new Error(reason);
  const place = scope.use(await aVolumePlace());
  return scope.use(await place.mount(["--allow-other"])).dir;
}
