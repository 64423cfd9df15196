import type { Client } from "./client.ts";
import type { OutputClass, OutputLimit } from "../parameters/parameter-forms.ts";
import type { Store } from "../store.ts";

/** Reply buffers are made smaller, where they were not needed, as often as Redis does. */
export const REPLY_PEAK_MS = 5000;

const classOf = (client: Client): OutputClass =>
  client.monitors || client.replica !== undefined ? "slave" : client.subscriptions === undefined ? "normal" : "pubsub";

/** Who has not signed in gets nothing but short errors. */
const STRANGER: OutputLimit = { hardBytes: 1024, softBytes: 0, softSeconds: 0 };

/** What may wait to be sent to a client: of `client-output-buffer-limit`, unless nobody knows it. */
export const outputLimitOf = (client: Client): OutputLimit => (client.known ? client.store.outputLimits[classOf(client)] : STRANGER);

/** Closes connections that have been idle for too long, that take their replies too slowly, or that together take too much memory. */
export function tendClients(store: Store): void {
  const idleMs = store.parameters.timeout * 1000;
  const shrinks = store.replyPeakDue();
  for (const client of store.clients.values()) {
    if (shrinks) client.reply.shrink();
    const isWaiting =
      client.blocked !== undefined ||
      client.subscriptions !== undefined ||
      client.monitors ||
      client.replica !== undefined ||
      client.isPrimary;
    if (idleMs > 0 && !isWaiting && store.nowMs - client.lastUsedMs > idleMs) client.output.close();
    else if (isSlow(client, store.nowMs)) client.output.drop?.();
  }
  evictClients(store);
}

/** Over the hard limit, or over the soft one for all of its time. */
function isSlow(client: Client, nowMs: number): boolean {
  const unsent = client.output.peer?.unsentBytes ?? 0;
  const { hardBytes, softBytes, softSeconds } = outputLimitOf(client);
  if (hardBytes > 0 && unsent > hardBytes) return true;
  if (softBytes === 0 || unsent <= softBytes) {
    client.slowSinceMs = undefined;
    return false;
  }
  client.slowSinceMs ??= nowMs;
  return nowMs - client.slowSinceMs > softSeconds * 1000;
}

/** `maxmemory-clients`: those that take most go first. */
export function evictClients(store: Store): void {
  const limit = clientBytesMax(store);
  if (limit === 0) return;
  const all = [...store.clients.values()].map((client) => ({ client, bytes: client.memoryBytes }));
  let sum = all.reduce((total, { bytes }) => total + bytes, 0);
  for (const { client, bytes } of all.toSorted((a, b) => b.bytes - a.bytes)) {
    if (sum <= limit) return;
    if (client.noEvict || client.replica !== undefined || client.isPrimary) continue;
    sum -= bytes;
    store.statistics.evictedClients++;
    client.output.drop?.();
  }
}

/** 0: no limit. Below 0 the parameter is a part of a hundred of `maxmemory`. */
function clientBytesMax({ parameters }: Store): number {
  const given = parameters["maxmemory-clients"];
  return given >= 0 ? given : (parameters.maxmemory * -given) / 100;
}
