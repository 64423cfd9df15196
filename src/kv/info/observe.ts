import { quoted } from "../../wire/resp/inline.ts";
import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import type { Command } from "../commands/command.ts";
import { shownArguments } from "./slow-log.ts";

/** After a command: the log of slow ones, the monitor of latencies, and who watches everything. */
export function observe(client: Client, command: Command, request: Request, durationMs: number): void {
  const { store } = client;
  if (client.blocked !== undefined && client.blocked.reason === "keys")
    client.waited = { request: request.copy(), sinceMs: store.clock.nowMs() - durationMs };
  else if (durationMs * 1000 >= store.slowUs) logSlow(client, command, request, durationMs * 1000);
  const thresholdMs = store.latencyThresholdMs;
  if (thresholdMs > 0 && durationMs >= thresholdMs)
    store.latencies.add(command.flags.includes("fast") ? "fast-command" : "command", Math.round(durationMs), store.nowMs);
  if (store.monitors.size > 0 && !command.flags.includes("skip_monitor") && !command.flags.includes("admin")) monitor(client, request);
  client.secrets = undefined;
}

/** A command that had to wait has been answered: its time is all that it took. */
export function observeServed(client: Client): void {
  const { waited, store } = client;
  client.waited = undefined;
  if (waited === undefined) return;
  const durationUs = (store.clock.nowMs() - waited.sinceMs) * 1000;
  if (durationUs >= store.parameters["slowlog-log-slower-than"]) logSlow(client, client.command!, waited.request, durationUs);
}

function logSlow(client: Client, command: Command, request: Request, durationUs: number): void {
  const { store } = client;
  if (store.parameters["slowlog-log-slower-than"] < 0 || command.flags.includes("skip_slowlog")) return;
  store.slowLog.add(
    {
      at: Math.floor(store.nowMs / 1000),
      durationUs: Math.round(durationUs),
      arguments: shownArguments(request, client.secrets),
      address: client.address,
      name: client.name,
    },
    store.parameters["slowlog-max-len"],
  );
}

/** Before a command that runs others, so that it is told of before them: it has the flag `skip_monitor`. */
export function tellMonitors(client: Client, request: Request): void {
  if (client.store.monitors.size > 0) monitor(client, request);
}

/** Tells those who asked for it by MONITOR of a command. */
function monitor(client: Client, request: Request): void {
  const words: string[] = [];
  for (let i = 0; i < request.count; i++) words.push(client.secrets?.has(i) === true ? '"(redacted)"' : quoted(request.text(i)));
  const { store, db } = client;
  const from = client.caller === undefined ? client.address : "lua";
  const line = `${(store.clock.wallMs() / 1000).toFixed(6)} [${db.index} ${from}] ${words.join(" ")}`;
  for (const each of store.monitors) {
    each.reply.simple(line);
    each.output.wake();
  }
}
