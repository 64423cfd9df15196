import { spawnSync } from "node:child_process";

/**
 * Has so much of the machine's free memory written to, so that what is measured next finds pages that are there. In a virtual machine that
 * gives free pages back to its host (free page reporting) the first touch of each goes through the hypervisor, and copying into the page
 * cache then costs five times as much. They are given back after seconds: touch right before each run, and keep runs short.
 */
export function touchMemory(bytes: number): void {
  // In a process of its own: what it frees goes back to the system at once, and is what the next ones get.
  const done = spawnSync(process.execPath, ["-e", TOUCH, String(bytes)], { stdio: ["ignore", "ignore", "inherit"] });
  if (done.status !== 0) throw new Error("the memory for this measurement is not there");
}

const TOUCH = `
  const held = [];
  for (let left = Number(process.argv[1]); left > 0; left -= 2 ** 28) held.push(Buffer.allocUnsafeSlow(Math.min(left, 2 ** 28)).fill(1));
`;
