import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { LaneJob, LaneOutcome } from "./lane-process.ts";

const PROGRAM = fileURLToPath(new URL("lane-process.ts", import.meta.url));
/** What a lane mounts nobody else sees, and it is gone with it. */
const OWN_MOUNTS = ["unshare", "--mount"];
/** In many containers not even root may. */
const mayMount = process.getuid?.() === 0 && spawnSync("unshare", ["--mount", "true"]).status === 0;

/** Runs all jobs, in so many processes at a time. Rejects when one of those ends before its work. */
export async function runInLanes(jobs: readonly LaneJob[], lanes: number, onOutcome: (outcome: LaneOutcome) => void): Promise<void> {
  const waiting = [...jobs];
  const lane = async (): Promise<void> => {
    const child = startLane();
    const exit = once(child, "exit").then(() => undefined);
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      const answer = once(child, "message");
      child.send(job);
      const [outcome] = ((await Promise.race([answer, exit])) ?? []) as LaneOutcome[];
      if (outcome === undefined) throw new Error(`the process of seed ${job.seed} has ended`);
      onOutcome(outcome);
    }
    child.disconnect();
    await exit;
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

function startLane(): ChildProcess {
  const node = [process.execPath, "--disable-warning=ExperimentalWarning", PROGRAM];
  const [program, ...words] = mayMount ? [...OWN_MOUNTS, ...node] : node;
  return spawn(program!, words, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
}
