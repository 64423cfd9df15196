import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "./client.ts";
import type { Command } from "../commands/command.ts";
import type { Store } from "../store.ts";

/** CLIENT PAUSE: until when commands wait, and which. */
export interface Pause {
  readonly untilMs: number;
  readonly mode: "all" | "write";
}

/** Lets commands wait, from now on and for so long; a pause that is longer or stricter stays. */
export function pauseUntil(store: Store, ms: number, mode: Pause["mode"]): void {
  const before = store.pause;
  const untilMs = store.nowMs + ms;
  store.pause = {
    untilMs: before === undefined ? untilMs : Math.max(before.untilMs, untilMs),
    mode: before?.mode === "all" ? "all" : mode,
  };
  store.settleExpiry();
  store.pauseTimer?.[Symbol.dispose]();
  store.pauseTimer = store.clock.timer(Math.min(store.pause.untilMs - store.nowMs, TIMER_MS_MAX), () => unpause(store));
}

/** Timers of Node do not count further. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export function unpause(store: Store): void {
  store.pauseTimer?.[Symbol.dispose]();
  store.pauseTimer = undefined;
  store.pause = undefined;
  store.settleExpiry();
  const waiting = [...store.paused];
  store.paused.clear();
  for (const client of waiting) store.blocked.release(client);
}

/** Whether this command has to wait now; if so, the client is blocked, and the command is to be run again afterwards. */
export function isPaused(client: Client, command: Command, request: Request): boolean {
  const { store } = client;
  if (store.pause === undefined || command.name.startsWith("client|")) return false;
  if (store.pause.mode === "write" && !mayWrite(client, command, request)) return false;
  return true;
}

function mayWrite(client: Client, command: Command, request: Request): boolean {
  const { transaction } = client;
  if (command.name === "exec") return transaction?.queue.some((queued) => writes(client, queued.command, queued.request)) ?? false;
  return transaction === undefined && writes(client, command, request);
}

/** Of scripts those that do not say that they only read. */
function writes({ store }: Client, command: Command, request: Request): boolean {
  const { flags, group } = command;
  if (!flags.includes("write") && !flags.includes("may_replicate")) return false;
  return group !== "scripting" || !store.scripting.onlyReads(command, request);
}
