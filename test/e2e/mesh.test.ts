import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { runAnax, startAnax, type AnaxProcess } from "../kit/anax.ts";
import { sha256OfGenerated } from "../kit/generated-content.ts";
import { startOrigin } from "../kit/origin.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

const MIB = 1024 * 1024;
const CONTENT = { bytes: 96 * MIB + 13, seed: 91 };
/** Slow enough for a kill in the middle, on any machine. */
const ORIGIN_BYTES_PER_SECOND = 24 * MIB;
const COPIES_MAX = 1.1;
const EXPECTED = sha256OfGenerated(CONTENT);

suite("four daemons share a file, and one of them is killed in the middle", () => {
  for (const victim of ["the first", "the last"]) {
    test(`${victim}: the others complete, and about one copy leaves the origin`, async (t) => {
      await using dir = await temporaryDirectory();
      await using origin = await startOrigin({
        content: { "/file": CONTENT },
        faults: { "/file": { bytesPerSecond: ORIGIN_BYTES_PER_SECOND } },
      });
      await using scheduler = await startAnax("scheduler", { dataDir: join(dir.path, "scheduler") });
      await using scope = new AsyncDisposableStack();
      const daemons: AnaxProcess[] = [];
      for (const name of ["a", "b", "c", "d"]) {
        const args = ["--scheduler", scheduler.listeners["scheduler"]!, "--hostname", name];
        daemons.push(scope.use(await startAnax("daemon", { dataDir: join(dir.path, name), args })));
      }
      const copyOf = (i: number): string => join(dir.path, `copy-${i}`);
      const got = daemons.map((daemon, i) => {
        const socket = daemon.listeners["socket"]!.replace("unix:", "");
        return runAnax(["get", origin.url("/file"), "-O", copyOf(i), "-e", socket, "--json"]);
      });
      const [killed, survivors] = victim === "the first" ? [0, [1, 2, 3]] : [3, [0, 1, 2]];
      await origin.until(() => origin.totals().bytesSent > CONTENT.bytes / 3);
      daemons[killed]!.kill("SIGKILL"); // there are four
      assert.equal(await daemons[killed]!.exited, "SIGKILL");
      for (const i of survivors) {
        const { code, stderr } = await got[i]!;
        assert.equal(code, 0, `daemon ${i}: ${stderr}\n${daemons[i]!.stderr()}`);
        const copy = createHash("sha256").update(await readFile(copyOf(i)));
        assert.equal(copy.digest("hex"), EXPECTED);
      }
      assert.notEqual((await got[killed]!).code, 0);
      const copies = origin.totals().bytesSent / CONTENT.bytes;
      t.diagnostic(`${copies.toFixed(3)} copies left the origin`);
      assert.ok(copies <= COPIES_MAX, `${copies} copies left the origin`);
    });
  }
});
