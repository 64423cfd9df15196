import type { Command } from "./command.ts";

export const CLIENT_TRACKING: readonly Command[] = [];
