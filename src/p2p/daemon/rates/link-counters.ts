import { closeSync, openSync, readSync } from "node:fs";

export interface LinkBytes {
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** By interface, since it came up. */
export type LinkCounters = ReadonlyMap<string, LinkBytes>;

/** Reads the kernel's counters of `interfaces`; of those with a default route (else of all but loopback) when none are named. */
export async function readLinkCounters(interfaces: readonly string[] = []): Promise<LinkCounters> {
  const dev = textOf("/proc/net/dev");
  if (interfaces.length > 0) return countersOf(dev, (name) => interfaces.includes(name));
  const routed = defaultRoutesOf(textOf("/proc/net/route"));
  return countersOf(dev, routed.length === 0 ? undefined : (name) => routed.includes(name));
}

/** One for all readings: `readFile` makes 64 KiB for each, as these files say that they are empty, and those outlive many collections. */
const scratch = Buffer.allocUnsafe(16 * 1024);

/**
 * A file that the kernel makes in no time; empty where there is none. Whoever waited for it would not know when it was: rates over moments would be
 * off by the delay.
 */
function textOf(path: string): string {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    let text = "";
    for (let count = readSync(file, scratch); count > 0; count = readSync(file, scratch)) text += scratch.toString("latin1", 0, count);
    return text;
  } catch {
    return "";
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** What `/proc/net/dev` says; without a choice, of all interfaces but loopback. */
export function countersOf(procNetDev: string, counts: (name: string) => boolean = (name) => name !== "lo"): LinkCounters {
  const counters = new Map<string, LinkBytes>();
  for (const line of procNetDev.split("\n")) {
    const match = /^\s*([^:\s]+):\s*(.*)$/.exec(line);
    if (match === null || !counts(match[1]!)) continue; // the pattern has both groups
    const fields = match[2]!.trim().split(/\s+/).map(Number);
    counters.set(match[1]!, { receivedBytes: fields[0] ?? 0, sentBytes: fields[8] ?? 0 });
  }
  return counters;
}

/**
 * What passed between two readings, over the interfaces that are in both: what one that came meanwhile (a default route that moved) counts may
 * have passed it in years, and would be taken for what the link carries.
 */
export function passedBetween(before: LinkCounters, now: LinkCounters): LinkBytes {
  let [receivedBytes, sentBytes] = [0, 0];
  for (const [name, { receivedBytes: received, sentBytes: sent }] of now) {
    const then = before.get(name);
    if (then === undefined) continue;
    receivedBytes += Math.max(0, received - then.receivedBytes); // one that was made anew counts from zero
    sentBytes += Math.max(0, sent - then.sentBytes);
  }
  return { receivedBytes, sentBytes };
}

/** Interfaces that `/proc/net/route` sends to everywhere: on a machine with bridges for containers the one whose bytes are not counted twice. */
export function defaultRoutesOf(procNetRoute: string): readonly string[] {
  const rows = procNetRoute.split("\n").map((line) => line.split("\t"));
  const everywhere = rows.filter(([, destination, , , , , , mask]) => destination === "00000000" && mask === "00000000");
  return [...new Set(everywhere.map(([name]) => name!))]; // a split text has a first part
}
