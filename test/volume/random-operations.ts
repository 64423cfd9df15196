import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { createRandom, type Random } from "../../src/base/random.ts";

interface RandomOptions {
  readonly dir: string;
  /** A folder elsewhere to which the same is done. */
  readonly reference: string;
  readonly seed: number;
  readonly operations: number;
}

interface Sides {
  readonly ours: string;
  readonly theirs: string;
}

const NAMES = 12;
const FILE_BYTES_MAX = 3_000_000;
const WRITE_BYTES_MAX = 200_000;
/** All content is compared after so many operations, and what was touched at once. */
const COMPARE_EVERY = 250;

type Operation = (path: (name: string) => string, random: Random, bytes: Buffer) => unknown;

/** Does the same at random to a folder and to another one, and compares results, content and attributes. Throws with the seed at the first difference. */
export async function randomOperations({ dir, reference, seed, operations }: RandomOptions): Promise<void> {
  const random = createRandom(seed);
  const sides: Sides = { ours: dir, theirs: reference };
  const open: { readonly ours: number; readonly theirs: number }[] = [];
  for (let step = 1; step <= operations; step++) {
    const name = pick(random, Object.keys(OPERATIONS));
    const forked = random.below(2 ** 31);
    const bytes = Buffer.alloc(1 + random.below(random.below(8) === 0 ? WRITE_BYTES_MAX : 9000), 33 + random.below(90));
    const result = (root: string): string => outcome(() => OPERATIONS[name]!((file) => join(root, file), createRandom(forked), bytes));
    assert.equal(result(sides.ours), result(sides.theirs), `seed ${seed}, step ${step}: ${name}`);
    if (random.below(10) === 0) swapOpen(open, sides, random, bytes);
    if (step % COMPARE_EVERY === 0 || step === operations)
      assert.deepEqual(treeOf(sides.ours), treeOf(sides.theirs), `seed ${seed}, after step ${step}`);
  }
  for (const { ours, theirs } of open) [ours, theirs].forEach((fd) => fs.closeSync(fd));
}

const fileName = (random: Random): string => `${random.below(3) === 0 ? "" : `d${random.below(3)}/`}f${random.below(NAMES)}`;
const position = (random: Random): number => random.below(FILE_BYTES_MAX);

const OPERATIONS: Readonly<Record<string, Operation>> = {
  mkdir: (path, random) => fs.mkdirSync(path(`d${random.below(3)}`)),
  rmdir: (path, random) => fs.rmdirSync(path(`d${random.below(3)}`)),
  create: (path, random, bytes) => fs.writeFileSync(path(fileName(random)), bytes),
  writeAt: (path, random, bytes) =>
    withFile(path(fileName(random)), "r+", (fd) => fs.writeSync(fd, bytes, 0, bytes.length, position(random))),
  writeTwice: (path, random, bytes) =>
    withFile(path(fileName(random)), "r+", (fd) => {
      const at = position(random);
      fs.writeSync(fd, bytes, 0, bytes.length, at);
      return fs.writeSync(fd, bytes, 0, bytes.length >> 1, Math.max(0, at - 1000));
    }),
  readAt: (path, random) =>
    withFile(path(fileName(random)), "r", (fd) => {
      const into = Buffer.alloc(1 + random.below(100_000));
      return into.subarray(0, fs.readSync(fd, into, 0, into.length, position(random))).toString("latin1");
    }),
  append: (path, random, bytes) => withFile(path(fileName(random)), "a", (fd) => fs.writeSync(fd, bytes)),
  truncate: (path, random) => fs.truncateSync(path(fileName(random)), position(random)),
  shrink: (path, random) => {
    const file = path(fileName(random));
    fs.truncateSync(file, Math.floor(fs.statSync(file).size * random.next()));
  },
  sync: (path, random) => withFile(path(fileName(random)), "r+", (fd) => fs.fsyncSync(fd)),
  rename: (path, random) => fs.renameSync(path(fileName(random)), path(fileName(random))),
  renameDirectory: (path, random) => fs.renameSync(path(`d${random.below(3)}`), path(`d${random.below(3)}`)),
  link: (path, random) => fs.linkSync(path(fileName(random)), path(fileName(random))),
  symlink: (path, random) => fs.symlinkSync(`f${random.below(NAMES)}`, path(fileName(random))),
  unlink: (path, random) => fs.unlinkSync(path(fileName(random))),
  chmod: (path, random) => fs.chmodSync(path(fileName(random)), random.below(0o1000)),
  times: (path, random) => fs.utimesSync(path(fileName(random)), random.below(2 ** 31), random.below(2 ** 31)),
  copy: (path, random) => fs.copyFileSync(path(fileName(random)), path(fileName(random))),
  read: (path, random) => fs.readFileSync(path(fileName(random)), "latin1"),
  size: (path, random) => fs.statSync(path(fileName(random))).size,
};

/** Files that stay open over many operations, also without a name. */
function swapOpen(
  open: { readonly ours: number; readonly theirs: number }[],
  { ours, theirs }: Sides,
  random: Random,
  bytes: Buffer,
): void {
  const name = fileName(random);
  if (open.length < 4 && fs.existsSync(join(theirs, name))) {
    open.push({ ours: fs.openSync(join(ours, name), "r+"), theirs: fs.openSync(join(theirs, name), "r+") });
    return;
  }
  const pair = open[random.below(open.length)];
  if (pair === undefined) return;
  const at = position(random);
  const fds = [pair.ours, pair.theirs];
  for (const fd of fds) fs.writeSync(fd, bytes, 0, bytes.length, at);
  const [a, b] = fds.map((fd) => {
    const into = Buffer.alloc(64 * 1024);
    return into.subarray(0, fs.readSync(fd, into, 0, into.length, Math.max(0, at - 1000)));
  });
  assert.ok(a!.equals(b!), "an open file differs"); // two of two
  if (random.below(3) > 0) return;
  open.splice(open.indexOf(pair), 1);
  for (const fd of fds) fs.closeSync(fd);
}

function withFile<T>(file: string, flags: string, work: (fd: number) => T): T {
  const fd = fs.openSync(file, flags);
  try {
    return work(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function outcome(work: () => unknown): string {
  try {
    return `ok ${String(work())}`;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code ?? String(thrown);
  }
}

/** Every name with what can be seen of it; files of a directory have sizes of their own everywhere. */
function treeOf(root: string): Readonly<Record<string, unknown>> {
  const names = (fs.readdirSync(root, { recursive: true }) as string[]).toSorted();
  return Object.fromEntries(
    names.map((name) => {
      const path = join(root, name);
      const { mode, nlink, size } = fs.lstatSync(path);
      const kind = mode & 0o170_000;
      if (kind === 0o120_000) return [name, { mode, target: fs.readlinkSync(path) }];
      if (kind === 0o040_000) return [name, { mode, nlink }];
      return [name, { mode, nlink, size, content: fs.readFileSync(path, "latin1") }];
    }),
  );
}

const pick = <T>(random: Random, items: readonly T[]): T => items[random.below(items.length)]!; // within
