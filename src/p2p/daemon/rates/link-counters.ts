import { readFile } from "node:fs/promises";

/** Bytes since the machine started, over all interfaces that count. */
export interface LinkCounters {
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** Reads the kernel's counters of `interfaces`; of those with a default route (else of all but loopback) when none are named. */
export async function readLinkCounters(interfaces: readonly string[] = []): Promise<LinkCounters> {
  const dev = await readFile("/proc/net/dev", "utf8").catch(() => "");
  if (interfaces.length > 0) return countersOf(dev, (name) => interfaces.includes(name));
  const routed = defaultRoutesOf(await readFile("/proc/net/route", "utf8").catch(() => ""));
  return countersOf(dev, routed.length === 0 ? undefined : (name) => routed.includes(name));
}

/** The sums of `/proc/net/dev`; without a choice, of all interfaces but loopback. */
export function countersOf(procNetDev: string, counts: (name: string) => boolean = (name) => name !== "lo"): LinkCounters {
  let [receivedBytes, sentBytes] = [0, 0];
  for (const line of procNetDev.split("\n")) {
    const match = /^\s*([^:\s]+):\s*(.*)$/.exec(line);
    if (match === null || !counts(match[1]!)) continue; // the pattern has both groups
    const fields = match[2]!.trim().split(/\s+/).map(Number);
    receivedBytes += fields[0] ?? 0;
    sentBytes += fields[8] ?? 0;
  }
  return { receivedBytes, sentBytes };
}

/** Interfaces that `/proc/net/route` sends to everywhere: on a machine with bridges for containers the one whose bytes are not counted twice. */
export function defaultRoutesOf(procNetRoute: string): readonly string[] {
  const rows = procNetRoute.split("\n").map((line) => line.split("\t"));
  return [
    ...new Set(rows.filter(([, destination, , , , , , mask]) => destination === "00000000" && mask === "00000000").map(([name]) => name!)),
  ]; // a row has a name
}
