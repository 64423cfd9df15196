import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { must, run } from "../../kit/process.ts";
import { makeSourceTree, type TreeSize } from "./source-tree.ts";

const PART_TIMEOUT_MS = 120_000;
const FSX = join(import.meta.dirname, "fsx.py");

/** What a part has done, or why it has failed. */
export interface PartResult {
  readonly failed: number;
  readonly reason?: string;
  readonly [figure: string]: unknown;
}

/** Random operations on one file, each compared; `program` is fsx of xfstests, otherwise our own. */
export async function fsx(
  dir: string,
  { operations, seed, program }: { readonly operations: number; readonly seed: number; readonly program: string | undefined },
): Promise<PartResult> {
  const file = join(dir, "fsx");
  if (program !== undefined) return told(program, ["-q", "-N", String(operations), "-S", String(seed), file], { operations });
  const { code, stdout, stderr } = await run("python3", [FSX, file, String(operations), String(seed)], { timeoutMs: PART_TIMEOUT_MS });
  return code === 0 ? (JSON.parse(stdout) as PartResult) : { failed: 1, reason: stdout + stderr };
}

/** Several processes that do everything to one tree; of xfstests. */
export async function fsstress(
  dir: string,
  { operations, seed, program }: { readonly operations: number; readonly seed: number; readonly program: string },
): Promise<PartResult> {
  const work = join(dir, "fsstress");
  mkdirSync(work);
  const done = await told(program, ["-d", work, "-n", String(operations / 4), "-p", "4", "-s", String(seed)], { operations });
  await must("rm", ["-r", work]);
  return done;
}

const STRESSORS = [
  "dentry",
  "rename",
  "symlink",
  "dir",
  "fallocate",
  "hdd",
  "flock",
  "seek",
  "filename",
  "xattr",
  "utime",
  "mknod",
  "chmod",
  "lockofd",
  "sync-file",
  "fstat",
  "access",
] as const;
const STRESS_LIMITS = ["--hdd-bytes", "8m", "--fallocate-bytes", "4m", "--seek-size", "4m", "--sync-file-bytes", "4m"];

/** Debian's stress-ng: two of each kind of calls against each other, checked by itself. */
export async function stress(dir: string, { seconds }: { readonly seconds: number }): Promise<PartResult> {
  const reasons: string[] = [];
  for (const kind of STRESSORS) {
    const args = ["--temp-path", dir, "--verify", `--${kind}`, "2", ...STRESS_LIMITS, "--timeout", String(seconds)];
    const { reason } = await told("stress-ng", args, {});
    if (reason !== undefined) reasons.push(`${kind}: ${reason}`);
  }
  return { failed: reasons.length, stressors: STRESSORS.length, seconds, ...(reasons.length > 0 && { reasons }) };
}

const FIO_JOBS: Readonly<Record<string, readonly string[]>> = {
  unaligned: ["--ioengine=psync", "--rw=randrw", "--bsrange=512-128k", "--bs_unaligned=1", "--numjobs=2", "--fsync=64"],
  mapped: ["--ioengine=mmap", "--rw=randwrite", "--bs=4k"],
  direct: ["--ioengine=libaio", "--rw=randwrite", "--bsrange=4k-64k", "--direct=1", "--iodepth=8"],
  sequential: ["--ioengine=psync", "--rw=write", "--bs=1m", "--end_fsync=1"],
};

/** Writes that carry checksums, read back. */
export async function fio(dir: string, { mib }: { readonly mib: number }): Promise<PartResult> {
  const reasons: string[] = [];
  for (const [name, job] of Object.entries(FIO_JOBS)) {
    const args = [
      `--name=${name}`,
      `--directory=${dir}`,
      `--size=${mib}m`,
      "--verify=crc32c",
      "--verify_fatal=1",
      "--verify_dump=0",
      "--verify_state_save=0",
      "--minimal",
      ...job,
    ];
    const { reason } = await told("fio", args, {});
    if (reason !== undefined) reasons.push(`${name}: ${reason}`);
  }
  return { failed: reasons.length, jobs: Object.keys(FIO_JOBS).length, mib, ...(reasons.length > 0 && { reasons }) };
}

/** A source tree packed elsewhere, unpacked and built here and there: the same files, the same program, and the same compiled again when a header changes. */
export async function build(
  dir: string,
  { reference, size }: { readonly reference: string; readonly size: TreeSize },
): Promise<PartResult> {
  const tree = join(reference, "linux");
  mkdirSync(tree);
  makeSourceTree(tree, size);
  await must("tar", ["-C", reference, "-czf", join(reference, "linux.tar.gz"), "linux"]);
  copyFileSync(join(reference, "linux.tar.gz"), join(dir, "linux.tar.gz"));
  await must("tar", ["-C", dir, "-xzf", join(dir, "linux.tar.gz")]);
  const sides = [tree, join(dir, "linux")] as const;
  const reasons: string[] = [];
  const compiled = async (why: string): Promise<number> => {
    const counts: number[] = [];
    for (const side of sides) {
      await must("rm", ["-f", join(side, "compiled")]);
      await must("make", ["-s", "-j2", "-C", side], { timeoutMs: PART_TIMEOUT_MS });
      counts.push(existsSync(join(side, "compiled")) ? readFileSync(join(side, "compiled"), "utf8").trim().split("\n").length : 0);
    }
    if (counts[0] !== counts[1]) reasons.push(`${why}: ${counts[1]} files compiled, not ${counts[0]}`);
    return counts[1]!; // one for each side
  };
  const figures = { whole: await compiled("the whole tree"), nothing: await compiled("nothing changed"), header: 0 };
  for (const side of sides) await must("sh", ["-c", `sleep 0.1; echo "/* changed */" >> ${side}/drivers/part0/part0_0.h`]);
  figures.header = await compiled("a header changed");
  const { code, stdout } = await run("diff", ["-r", "--exclude=compiled", "--no-dereference", ...sides]);
  if (code !== 0) reasons.push(`the trees differ: ${stdout.slice(0, 2000)}`);
  const outputs = await Promise.all(sides.map((side) => must(join(side, "program"), [])));
  if (outputs[0] !== outputs[1]) reasons.push("the programs differ");
  await must("rm", ["-r", sides[1]]);
  return { failed: reasons.length, compiled: figures, ...(reasons.length > 0 && { reasons }) };
}

async function told(program: string, args: readonly string[], figures: Readonly<Record<string, unknown>>): Promise<PartResult> {
  const { code, stdout, stderr } = await run(program, args, { timeoutMs: PART_TIMEOUT_MS });
  return code === 0
    ? { failed: 0, ...figures }
    : { failed: 1, ...figures, reason: `ended with ${code}: ${(stdout + stderr).slice(-2000)}` };
}
