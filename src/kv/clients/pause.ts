import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "./client.ts";
import type { Command } from "../commands/command.ts";
import type { Store } from "../store.ts";

/** Until when commands wait, and which. */
export interface Pause {
  readonly untilMs: number;
  readonly mode: "all" | "write";
}

/** Who lets them wait: CLIENT PAUSE, a failover for as long as it takes, or the end of the server, for which replicas are to have everything. */
export type PauseReason = "client" | "failover" | "shutdown";

/** Lets commands wait, from now on and for so long; of the same reason, a pause that is longer or stricter stays. */
export function pauseUntil(store: Store, ms: number, mode: Pause["mode"], reason: PauseReason = "client"): void {
  const before = store.pauses.get(reason);
  store.pauses.set(reason, {
    untilMs: Math.max(before?.untilMs ?? 0, store.nowMs + ms),
    mode: before?.mode === "all" ? "all" : mode,
  });
  settle(store);
}

export function unpause(store: Store, reason: PauseReason = "client"): void {
  store.pauses.delete(reason);
  settle(store);
  const waiting = [...store.paused];
  store.paused.clear();
  // Whoever has to wait for another reason begins anew.
  for (const client of waiting) store.blocked.release(client);
}

/** Timers of Node do not count further. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** What all pauses are together, and when the first of them ends. */
function settle(store: Store): void {
  const all = [...store.pauses.values()];
  const untilMs = Math.min(...all.map((pause) => pause.untilMs));
  store.pause = all.length === 0 ? undefined : { untilMs, mode: all.some(({ mode }) => mode === "all") ? "all" : "write" };
  store.settleExpiry();
  store.pauseTimer?.[Symbol.dispose]();
  store.pauseTimer = store.pause && store.clock.timer(Math.min(untilMs - store.nowMs, TIMER_MS_MAX), () => ended(store));
}

function ended(store: Store): void {
  store.tick();
  const over = [...store.pauses].filter(([, { untilMs }]) => untilMs <= store.nowMs);
  if (over.length === 0) settle(store);
  for (const [reason] of over) unpause(store, reason);
}

/** Whether this command has to wait now; if so, the client is blocked, and the command is to be run again afterwards. */
export function isPaused(client: Client, command: Command, request: Request): boolean {
  const { store } = client;
  if (store.pause === undefined || command.name.startsWith("client|") || client.replica !== undefined) return false;
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
