import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "./client.ts";

/** What Redis has at most in the buffer that this field tells of; ours has all replies. */
const REPLY_BYTES_SHOWN_MAX = 16_384;

/** The line of `CLIENT LIST` and `CLIENT INFO` (https://redis.io/docs/latest/commands/client-list/). */
export function clientLine(client: Client): string {
  const { store, output } = client;
  const peer = output.peer;
  const seconds = (sinceMs: number): number => Math.floor((store.nowMs - sinceMs) / 1000);
  const running = client.running === undefined ? 0 : respBytesOf(client.running);
  const fields: readonly (readonly [string, string | number])[] = [
    ["id", client.id],
    ["addr", client.address],
    ["laddr", peer?.localAddress ?? ""],
    ["fd", peer === undefined ? -1 : 8],
    ["name", client.name],
    ["age", seconds(client.createdMs)],
    ["idle", seconds(client.lastUsedMs)],
    ["flags", flagsOf(client)],
    ["db", client.db.index],
    ["sub", client.subscriptions?.channels.size ?? 0],
    ["psub", client.subscriptions?.patterns.size ?? 0],
    ["ssub", client.subscriptions?.shards.size ?? 0],
    ["multi", client.transaction?.queue.length ?? -1],
    ["qbuf", Math.max(running, peer?.queryBytes ?? 0)],
    ["qbuf-free", Math.max(0, (peer?.queryAllocatedBytes ?? 0) - (peer?.queryBytes ?? 0))],
    ["argv-mem", running],
    ["multi-mem", client.transactionBytes],
    ["rbs", Math.min(client.reply.size, REPLY_BYTES_SHOWN_MAX)],
    ["rbp", Math.min(client.reply.peak, REPLY_BYTES_SHOWN_MAX)],
    ["obl", 0],
    ["oll", (peer?.unsentBytes ?? 0) > 0 && running === 0 ? 1 : 0],
    ["omem", running === 0 ? (peer?.unsentBytes ?? 0) : 0],
    ["tot-mem", client.memoryBytes],
    ["events", "r"],
    ["cmd", client.command?.name ?? "NULL"],
    ["user", client.userName],
    ["redir", client.tracking === undefined ? -1 : (client.tracking.redirect ?? 0)],
    ["resp", client.reply.protocol],
    ["lib-name", client.library.name],
    ["lib-ver", client.library.version],
  ];
  return fields.map(([name, value]) => `${name}=${value}`).join(" ");
}

/** Size of a command as it came. */
function respBytesOf({ count, offsets, lengths }: Request): number {
  const header = `*${count}\r\n$${lengths[0]}\r\n`.length;
  return header + offsets[count - 1]! + lengths[count - 1]! + 2 - offsets[0]!;
}

function flagsOf(client: Client): string {
  const flags: string[] = [];
  if (client.monitors) flags.push("O");
  if (client.isPrimary) flags.push("M");
  if (client.replica !== undefined) flags.push("S");
  if (client.subscriptions !== undefined) flags.push("P");
  if (client.transaction !== undefined) flags.push("x");
  if (client.blocked !== undefined) flags.push("b");
  if (client.tracking !== undefined) {
    flags.push("t");
    if (client.tracking.broken) flags.push("R");
    if (client.tracking.prefixes !== undefined) flags.push("B");
  }
  if (client.spoiled) flags.push("d");
  if (client.closing) flags.push("c");
  if (client.noEvict) flags.push("e");
  if (client.noTouch) flags.push("T");
  return flags.length === 0 ? "N" : flags.join("");
}
