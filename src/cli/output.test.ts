import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";

/** A program that has done what `before` says leaves with `code`. */
function leaving(code: number, before: string) {
  const program = `import { leave } from ${JSON.stringify(new URL("output.ts", import.meta.url).href)};
    ${before}
    process.exitCode = leave(${code});`;
  return spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

test("a command that has done its work ends at once, whatever is still open", async () => {
  const child = leaving(0, 'setInterval(() => undefined, 1000); process.stdout.write("done");');
  const ended = once(child, "close");
  let text = "";
  for await (const chunk of child.stdout) text += String(chunk);
  assert.deepEqual([text, (await ended)[0]], ["done", 0]);
});

for (const code of [0, 3]) {
  test(`output that nobody has read yet is not lost at the end with code ${code}`, async () => {
    const bytes = 4 * 1024 * 1024;
    const child = leaving(code, `process.stdout.write("x".repeat(${bytes}));`);
    const ended = once(child, "close");
    let count = 0;
    for await (const chunk of child.stdout) {
      count += (chunk as Buffer).length;
      await nextTurn(); // a slow reader
    }
    assert.deepEqual([count, (await ended)[0]], [bytes, code]);
  });
}
