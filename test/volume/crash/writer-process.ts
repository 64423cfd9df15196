import { closeSync, fsyncSync, ftruncateSync, openSync, readdirSync, renameSync, statSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createRandom } from "../../../src/base/random.ts";
import { contentOf } from "../../kit/volume-content.ts";
import { ASIDE, type Operation } from "./operations.ts";

// writer.ts DIR SEED: changes files of a directory and syncs each change, until its input ends or the file system fails. Standard output has a line for each operation
// before it begins, and `done` once it is confirmed: nobody kills this process while its lines are believed.

const NAMES = 6;
const LENGTHS = [100, 4000, 9000, 60_000, 200_000, 2_500_000] as const;
const FILE_BYTES_MAX = 6_000_000;
/** As programs write: several calls for one `fsync`. */
const CALL_BYTES = 70_000;

const [dir = "", seedText = "1"] = process.argv.slice(2);
const random = createRandom(Number(seedText));
const input = { ended: false };
process.stdin.once("end", () => (input.ended = true)).resume();

const say = (line: unknown): void => void writeSync(1, `${JSON.stringify(line)}\n`);

try {
  for (let step = 0; !input.ended; step++) {
    const operation = next(step);
    say(operation);
    perform(operation);
    say("done");
    await new Promise((resolve) => setImmediate(resolve)); // its input
  }
} catch (error) {
  say({ failed: (error as NodeJS.ErrnoException).code ?? String(error) });
}
process.exit(0);

function next(step: number): Operation {
  const seed = Number(seedText) * 10_000 + step;
  const name = `f${random.below(NAMES)}`;
  const length = LENGTHS[random.below(random.below(8) === 0 ? LENGTHS.length : LENGTHS.length - 1)]!; // large ones now and then
  const size = readdirSync(dir).includes(name) ? statSync(join(dir, name)).size : undefined;
  if (size === undefined || size > FILE_BYTES_MAX) return { do: "replace", name, seed, length };
  switch (random.below(9)) {
    case 0:
    case 1:
      return { do: "append", name, seed, length };
    case 2:
    case 3:
      return { do: "overwrite", name, at: random.below(size + 1), seed, length };
    case 4:
      return { do: "truncate", name, length: random.below(size * 2 + 1) };
    case 5:
      return { do: "rename", name, to: `f${(Number(name.slice(1)) + 1 + random.below(NAMES - 1)) % NAMES}` };
    case 6:
      return { do: "unlink", name };
    default:
      return { do: "replace", name, seed, length };
  }
}

function perform(operation: Operation): void {
  const file = join(dir, operation.name);
  switch (operation.do) {
    case "replace":
      changed(join(dir, ASIDE), "w", (fd) => write(fd, operation, null));
      renameSync(join(dir, ASIDE), file);
      return syncDirectory();
    case "append":
      return changed(file, "a", (fd) => write(fd, operation, null));
    case "overwrite":
      return changed(file, "r+", (fd) => write(fd, operation, operation.at));
    case "truncate":
      return changed(file, "r+", (fd) => ftruncateSync(fd, operation.length));
    case "rename":
      renameSync(file, join(dir, operation.to));
      return syncDirectory();
    case "unlink":
      unlinkSync(file);
      return syncDirectory();
  }
}

function write(fd: number, { seed, length }: { readonly seed: number; readonly length: number }, from: number | null): void {
  const bytes = contentOf(seed, length);
  for (let at = 0; at < length;) at += writeSync(fd, bytes, at, Math.min(CALL_BYTES, length - at), from === null ? null : from + at);
}

function changed(path: string, flags: string, change: (fd: number) => void): void {
  const fd = openSync(path, flags);
  try {
    change(fd);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function syncDirectory(): void {
  const fd = openSync(dir, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
