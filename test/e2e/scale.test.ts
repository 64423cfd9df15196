import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runAnax, startAnax, type AnaxProcess } from "../kit/anax.ts";
import { sha256OfGenerated } from "../kit/generated-content.ts";
import { startOrigin } from "../kit/origin.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

const DAEMONS = 8;
const CONTENT = { bytes: 1024 ** 3, seed: 11 };
const COPIES_MAX = 1.02;
const DAEMON_PEAK_MAX_BYTES = 200e6;

const free = await statfs(tmpdir());
const noRoom = free.bavail * free.bsize < (DAEMONS + 2) * CONTENT.bytes ? `needs ${DAEMONS + 2} GiB free in ${tmpdir()}` : false;

test("eight daemons share 1 GiB that leaves the origin once, each within 200 MB of memory", { skip: noRoom }, async (t) => {
  await using dir = await temporaryDirectory();
  await using origin = await startOrigin({ content: { "/model.bin": CONTENT } });
  await using scheduler = await startAnax("scheduler", { dataDir: join(dir.path, "scheduler") });
  await using scope = new AsyncDisposableStack();
  const start = async (name: string, args: readonly string[]): Promise<AnaxProcess> =>
    scope.use(
      await startAnax("daemon", {
        dataDir: join(dir.path, name),
        args: ["--scheduler", scheduler.listeners["scheduler"]!, "--hostname", name, ...args],
        set: { logLevel: "warn" },
      }),
    );
  const seed = await start("seed", ["--seed"]);
  const daemons: AnaxProcess[] = [];
  for (let i = 0; i < DAEMONS; i++) daemons.push(await start(`daemon-${i}`, []));

  const ran = await Promise.all(
    daemons.map((daemon, i) =>
      runAnax(
        [
          "get",
          origin.url("/model.bin"),
          "-O",
          join(dir.path, `copy-${i}`),
          "-e",
          daemon.listeners["socket"]!.replace("unix:", ""),
          "--json",
        ],
        {
          timeoutMs: 600_000,
        },
      ),
    ),
  );
  for (const [i, { code, stderr }] of ran.entries()) assert.equal(code, 0, `daemon ${i}: ${stderr}\n${daemons[i]!.stderr()}`);

  const peaks = await Promise.all([seed, ...daemons].map(({ pid }) => peakOf(pid)));
  const copies = origin.totals().bytesSent / CONTENT.bytes;
  t.diagnostic(
    `origin ${copies.toFixed(3)} copies; peak resident MB: seed ${megabytes(peaks[0]!)}, daemons ${peaks.slice(1).map(megabytes).join(" ")}`,
  );
  assert.ok(copies >= 1 && copies <= COPIES_MAX, `${copies} copies left the origin`);
  const expected = sha256OfGenerated(CONTENT);
  for (let i = 0; i < DAEMONS; i++) assert.equal(await sha256Of(join(dir.path, `copy-${i}`)), expected, `copy ${i}`);
  for (const peak of peaks) assert.ok(peak < DAEMON_PEAK_MAX_BYTES, `a daemon peaked at ${megabytes(peak)} MB`);
});

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);

/** Peak resident set as the kernel counted it, in bytes. */
async function peakOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
