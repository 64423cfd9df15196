import assert from "node:assert/strict";
import { closeSync, openSync, readFileSync, readdirSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../../test/kit/temporary-directory.ts";
import { sealTogether, type Seal } from "./seal-together.ts";
import { loadStreamedWrites } from "./streamed-writes.ts";

const ways = { "begun together": await loadStreamedWrites(), "where that is not to be had": undefined };

for (const [way, writes] of Object.entries(ways)) {
  test(`files are made durable together, ${way}, and each has its own error`, async () => {
    await using directory = await temporaryDirectory();
    const at = (name: string): string => join(directory.path, name);
    const names = ["a/1", "a/2", "b/1", "b/2"];
    for (const name of ["a", "b"]) mkdirSync(at(name));
    for (const name of names) writeFileSync(at(name), name);
    const fd = openSync(at("b/2"), "r+");
    const good: Seal[] = names.map((name) => ({
      path: at(name),
      fd: name === "b/2" ? fd : undefined,
      mode: name === "a/2" ? undefined : 0o444,
    }));
    const missing: Seal = { path: at("a/3"), fd: undefined, mode: 0o444 };
    const unflushable: Seal = { path: "/dev/full", fd: undefined, mode: undefined };
    const homeless: Seal = { path: at("c/1"), fd, mode: undefined };
    const openBefore = readdirSync("/proc/self/fd").length;
    const failed = await sealTogether([missing, good[0]!, unflushable, ...good.slice(1), homeless], writes);
    assert.deepEqual(
      [missing, unflushable, homeless].map((seal) => {
        const { code, syscall } = failed.get(seal) as NodeJS.ErrnoException;
        return [code, syscall];
      }),
      [
        ["ENOENT", "open"],
        ["EINVAL", "fdatasync"],
        ["ENOENT", "open"],
      ],
    );
    assert.equal(failed.size, 3);
    assert.deepEqual(
      names.map((name) => (statSync(at(name)).mode & 0o222) === 0),
      [true, false, true, true],
    );
    for (const name of names) assert.equal(readFileSync(at(name), "utf8"), name);
    assert.equal(readdirSync("/proc/self/fd").length, openBefore);
    closeSync(fd); // whoever had it open keeps it
  });
}
