import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { realClock } from "../../src/base/clock.ts";

const PROGRAM = fileURLToPath(new URL("../volume/blocked.py", import.meta.url));
const END_TIMEOUT_MS = 30_000;

/** A program that uses a mount; see test/volume/blocked.py. */
export interface MountUser extends AsyncDisposable {
  /** Closes its standard input, and waits until it has ended; what it said last. Throws when it hangs. */
  end(): Promise<Readonly<Record<string, string>>>;
}

export async function aMountUser(dir: string, what: "holder" | "waiter" | "reader"): Promise<MountUser> {
  const child = spawn("python3", [PROGRAM, dir, what], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const exited = once(child, "exit");
  await lines.next(); // it is ready
  return {
    async end() {
      child.stdin.end();
      const { promise: late, reject } = Promise.withResolvers<never>();
      using _timer = realClock.timer(END_TIMEOUT_MS, () => reject(new Error(`a ${what} hangs`)));
      const { value } = (await Promise.race([lines.next(), late])) as { readonly value: string };
      await Promise.race([exited, late]);
      return JSON.parse(value) as Record<string, string>;
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null) child.kill("SIGKILL");
      await Promise.race([exited, realClock.sleep(END_TIMEOUT_MS)]);
    },
  };
}
