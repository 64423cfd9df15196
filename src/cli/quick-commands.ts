import type { CommandTable } from "./program.ts";

/** Commands that take an instant and may be called a thousand times a minute; see quick.ts. */
export const QUICK_COMMANDS = {
  get: { summary: "download a file or a directory through the local daemon", load: () => import("./commands/get.ts") },
  ls: { summary: "list the tasks on this machine", load: () => import("./commands/ls.ts") },
  stat: { summary: "show one task on this machine", load: () => import("./commands/stat.ts") },
  rm: { summary: "remove tasks from this machine", load: () => import("./commands/rm.ts") },
  pin: { summary: "keep tasks on this machine, whatever room is needed", load: () => import("./commands/pin.ts") },
  unpin: { summary: "let pinned tasks be collected again", load: () => import("./commands/unpin.ts") },
  gc: { summary: "collect what is not needed now, or say what would go", load: () => import("./commands/gc.ts") },
  explain: { summary: "say why a task came from where it came from", load: () => import("./commands/explain.ts") },
  version: { summary: "print the version", load: () => import("./commands/version.ts") },
} as const satisfies CommandTable;

export type QuickName = keyof typeof QUICK_COMMANDS;
