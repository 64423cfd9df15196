import type { Command } from "commander";
import { runProgram, type CommandTable } from "./program.ts";
import { QUICK_COMMANDS } from "./quick-commands.ts";

const { version, ...calls } = QUICK_COMMANDS;

export const COMMANDS: CommandTable = {
  up: {
    summary: "run everything in one process: scheduler, seed and proxy, with embedded defaults",
    load: () => import("./commands/up.ts"),
  },
  scheduler: { summary: "run a scheduler", load: () => import("./commands/scheduler.ts") },
  daemon: { summary: "run a daemon (with --seed: one that reads sources for the others)", load: () => import("./commands/daemon.ts") },
  store: { summary: "run the Redis-compatible store (not complete yet)", load: () => import("./commands/store.ts") },
  slots: { summary: "say which store has which slots, and move them", load: () => import("./commands/slots.ts") },
  volume: { summary: "create, inspect, change and delete volumes", load: () => import("./commands/volume.ts") },
  mount: { summary: "mount a volume on a directory", load: () => import("./commands/mount.ts") },
  umount: { summary: "unmount a volume", load: () => import("./commands/umount.ts") },
  ...calls,
  config: { summary: "print, check and describe the settings", load: () => import("./commands/config.ts") },
  doctor: { summary: "check this machine and say what to mend", load: () => import("./commands/doctor.ts") },
  version,
  completion: { summary: "print a completion script for bash, zsh or fish", load: () => import("./commands/completion.ts") },
};

export const main = (argv: readonly string[]): Promise<number> => runProgram(argv, COMMANDS);

/** Every command with all of its options; for completion and documents. */
export async function allCommands(): Promise<readonly Command[]> {
  return Promise.all(Object.values(COMMANDS).map(async ({ load }) => (await load()).command()));
}
