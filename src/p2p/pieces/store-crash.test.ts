import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { realClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { createRandom } from "../../base/random.ts";
import { PiecesConfig } from "./config.ts";
import { aContent, never, pieceOf, type TestContent } from "./piece-store.conformance.ts";
import { openPieceStore } from "./store.ts";
import type { StoredTask } from "./types.ts";

const ROUNDS = 6;
const TASKS = 6;
const LINES_MAX = 60;

/** Fills task after task with pieces in a random order, saying what it did, until it is killed or through. */
const WRITER = `
  const [dir, seed, base] = process.argv.slice(2);
  const load = (name) => import(new URL(name, base).href);
  const { openPieceStore } = await load("./store.ts");
  const { PiecesConfig } = await load("./config.ts");
  const { realClock } = await load("../../base/clock.ts");
  const { silentLog } = await load("../../base/log.ts");
  const { createRandom } = await load("../../base/random.ts");
  const { aContent, never, storePiece } = await load("./piece-store.conformance.ts");
  const store = await openPieceStore({ dir, config: PiecesConfig.parse({ commitIntervalMs: "1ms" }), clock: realClock, log: silentLog });
  const random = createRandom(Number(seed));
  for (let n = 0; n < ${TASKS}; n++) {
    const content = aContent({ seed: n, digest: n % 2 === 0 ? "sha256" : "none" });
    const task = await store.open(content.meta);
    for (const index of random.shuffle(Array.from({ length: content.meta.pieceCount }, (_, i) => i))) {
      await storePiece(task, content, index);
      process.stdout.write("piece " + n + "\\n");
    }
    await task.finish(never());
    process.stdout.write("finished " + n + "\\n");
  }
  process.stdout.write("end\\n");
  process.stdin.resume();
`;

test("whatever a store held when it was killed is right when it is opened again", async (t) => {
  const contents = Array.from({ length: TASKS }, (_, seed) => aContent({ seed, digest: seed % 2 === 0 ? "sha256" : "none" }));
  const random = createRandom(20_260_101);
  let heldInAll = 0;
  const dir = await mkdtemp(join(tmpdir(), "anax-crash-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await writeFile(join(dir, "writer.mjs"), WRITER); // a file: worker threads inherit the options that inline code needs, and refuse them
  for (let round = 0; round < ROUNDS; round++) {
    const said = await killAfter(dir, { lines: 1 + random.below(LINES_MAX), seed: round });
    await using store = await openPieceStore({ dir: join(dir, "store"), config: PiecesConfig.parse({}), clock: realClock, log: silentLog });
    for (const [n, content] of contents.entries()) {
      const found = store.find(content.meta.id);
      if (said.includes(`finished ${n}`)) assert.equal(found?.state, "finished", `task ${n} of round ${round} was finished`);
      if (found !== undefined) heldInAll += await rightPieces(await store.open(content.meta), content);
    }
    for (const task of store.list()) {
      task.fail(new Error("the next round starts anew"));
      if (round % 2 === 0) await store.remove(task.meta.id); // in the other rounds the writer goes on where it was
    }
  }
  assert.ok(heldInAll > 0, "some pieces were recorded before the end came");
});

/** Kills the writer, by the signal that cannot be caught, once it has said so many lines. */
async function killAfter(dir: string, options: { readonly lines: number; readonly seed: number }): Promise<readonly string[]> {
  const args = [
    "--disable-warning=ExperimentalWarning",
    join(dir, "writer.mjs"),
    join(dir, "store"),
    String(options.seed),
    import.meta.url,
  ];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const said: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    said.push(line);
    if (said.length === options.lines || line === "end") child.kill("SIGKILL");
  }
  const [, signal] = (await exited) as [number | null, string | null];
  assert.equal(signal, "SIGKILL", `the writer ended by itself after ${said.length} lines`);
  return said;
}

async function rightPieces(task: StoredTask, content: TestContent): Promise<number> {
  for (let index = 0; index < content.meta.pieceCount; index++) {
    if (!task.finished.has(index)) continue;
    const piece = pieceOf(content, index);
    const into = Buffer.alloc(piece.length);
    await task.read({ offsetBytes: index * content.meta.pieceLength, into });
    assert.ok(into.equals(piece), `piece ${index} of ${task.meta.id} is what was written`);
  }
  if (task.state === "finished") await task.finish(never());
  return task.finished.count;
}
