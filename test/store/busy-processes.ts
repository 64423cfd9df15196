import { spawn } from "node:child_process";
import { CONFINED } from "./store-process.ts";

/** Processes that want all of the core that `CONFINED` names, until disposed. */
export function startBusyProcesses(count: number): Disposable {
  const [program, ...words] = [...CONFINED, process.execPath, "-e", "for (;;);"] as const;
  const children = Array.from({ length: count }, () => spawn(program, words, { stdio: "ignore" }));
  return {
    [Symbol.dispose]: () => {
      for (const child of children) child.kill("SIGKILL");
    },
  };
}
