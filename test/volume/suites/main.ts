import { join } from "node:path";
import { parseArgs } from "node:util";
import { installSuitePackages } from "../../../scripts/setup.ts";
import { aVolumePlace, unmountable, VOLUME } from "../../kit/mounted-volume.ts";
import { temporaryDirectory } from "../../kit/temporary-directory.ts";
import { build, fio, fsstress, fsx, stress, type PartResult } from "./parts.ts";

// npm run test:volume-suites -- [--xfstests DIR] [--only fsx,fio,…] [-o OPTIONS] [--seed 7]: what others test file systems with, through a mount
// of a new volume, and `fsck` in the end. `--xfstests` is the folder of a built xfstests, for its fsx and fsstress. The last line of standard output counts.

const { values } = parseArgs({
  options: {
    xfstests: { type: "string" },
    only: { type: "string" },
    options: { type: "string", short: "o" },
    operations: { type: "string", default: "20000" },
    seed: { type: "string", default: "7" },
  },
});
const lack = unmountable();
if (lack !== undefined) throw new Error(lack);
if (!installSuitePackages()) throw new Error("programs are missing");
const [operations, seed] = [Number(values.operations), Number(values.seed)];

await using reference = await temporaryDirectory();
await using place = await aVolumePlace();
await using mount = await place.mount(["--allow-other", ...(values.options === undefined ? [] : ["-o", values.options])]);
const { dir } = mount;
const original = (name: string): string | undefined => (values.xfstests === undefined ? undefined : join(values.xfstests, "ltp", name));
const [theirFsx, theirFsstress] = [original("fsx"), original("fsstress")];

const parts: Readonly<Record<string, () => Promise<PartResult>>> = {
  fsx: () => fsx(dir, { operations, seed, program: undefined }),
  ...(theirFsx !== undefined && { "xfstests-fsx": () => fsx(dir, { operations, seed, program: theirFsx }) }),
  ...(theirFsstress !== undefined && { "xfstests-fsstress": () => fsstress(dir, { operations, seed, program: theirFsstress }) }),
  stress: () => stress(dir, { seconds: 2 }),
  fio: () => fio(dir, { mib: 32 }),
  build: () => build(dir, { reference: reference.path, size: { directories: 20, files: 15 } }),
};
const only = values.only?.split(",") ?? Object.keys(parts);
const results: Record<string, PartResult> = {};
for (const name of only) {
  const part = parts[name];
  if (part === undefined) throw new Error(`--only: ${Object.keys(parts).join(", ")}, not ${name}`);
  results[name] = await part();
  console.error(name, JSON.stringify(results[name]));
}
const { stdout } = await place.anax(["volume", "fsck", VOLUME, "--data", "--json"]);
const { flaws } = JSON.parse(stdout.trim().split("\n").at(-1)!) as { readonly flaws: readonly unknown[] }; // it prints at least that line
const failed = Object.values(results).reduce((sum, result) => sum + result.failed, 0);
console.log(JSON.stringify({ parts: results, failed, fsckProblems: flaws.length, ...(flaws.length > 0 && { flaws }) }));
process.exitCode = failed + flaws.length === 0 ? 0 : 1;
