import * as fs from "node:fs";
import { join } from "node:path";
import type { LoadName, LoadRequest, LoadResult } from "./loads.ts";

// One load in a process of its own, as a program would do it: `node load-process.ts REQUEST`, the result on standard output.

const MIB = 1024 * 1024;
const BLOCK = 4096;

type Load = (request: LoadRequest) => { readonly count: number; readonly ms: number };

function timed(count: number, work: () => void): { readonly count: number; readonly ms: number } {
  const startedMs = performance.now();
  work();
  return { count, ms: performance.now() - startedMs };
}

const LOADS: Readonly<Record<LoadName, Load>> = {
  "write 1 MiB": ({ dir, mib }) => {
    const bytes = Buffer.alloc(MIB);
    for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 31) & 255;
    return timed(mib, () => {
      const fd = fs.openSync(join(dir, "large"), "w");
      for (let i = 0; i < mib; i++) {
        bytes.writeUInt32LE(i, 0);
        fs.writeSync(fd, bytes);
      }
      fs.fsyncSync(fd);
      fs.closeSync(fd);
    });
  },
  "read 1 MiB": ({ dir, mib }) => {
    const into = Buffer.alloc(MIB);
    return timed(mib, () => {
      const fd = fs.openSync(join(dir, "large"), "r");
      while (fs.readSync(fd, into) > 0);
      fs.closeSync(fd);
    });
  },
  "random read 4 KiB": (request) => atRandom(request, "r", (fd, bytes, at) => fs.readSync(fd, bytes, 0, BLOCK, at)),
  "random write 4 KiB": (request) => atRandom(request, "r+", (fd, bytes, at) => fs.writeSync(fd, bytes, 0, BLOCK, at)),
  create: (request) => eachFile(request, (file) => fs.closeSync(fs.openSync(file, "wx"))),
  "create with 4 KiB": (request) => eachFile(request, (file) => fs.writeFileSync(file, FOUR_KIB)),
  stat: (request) => eachFile(request, (file) => fs.statSync(file)),
  "open and close": (request) => eachFile(request, (file) => fs.closeSync(fs.openSync(file, "r"))),
  unlink: (request) => eachFile(request, (file) => fs.unlinkSync(file)),
};

const FOUR_KIB = Buffer.alloc(BLOCK, 7);

function eachFile({ dir, operations }: LoadRequest, work: (file: string) => void): { readonly count: number; readonly ms: number } {
  const files = Array.from({ length: operations }, (_, index) => join(dir, "small", `f${index}`));
  fs.mkdirSync(join(dir, "small"), { recursive: true });
  return timed(operations, () => files.forEach(work));
}

/** Positions by a fixed rule that hits all parts of the file. */
function atRandom({ dir, mib, operations }: LoadRequest, flags: string, work: (fd: number, bytes: Buffer, at: number) => void) {
  const blocks = (mib * MIB) / BLOCK;
  const bytes = Buffer.alloc(BLOCK, 9);
  return timed(operations, () => {
    const fd = fs.openSync(join(dir, "large"), flags);
    for (let i = 0; i < operations; i++) work(fd, bytes, ((i * 7919) % blocks) * BLOCK);
    if (flags !== "r") fs.fsyncSync(fd);
    fs.closeSync(fd);
  });
}

const request = JSON.parse(process.argv[2] ?? "null") as LoadRequest; // from main.ts
const { count, ms } = LOADS[request.load](request);
console.log(JSON.stringify({ perSecond: (count / ms) * 1000 } satisfies LoadResult));
