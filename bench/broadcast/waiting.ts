import { setTimeout as sleep } from "node:timers/promises";
import { commandIn } from "../kit/lab/command.ts";
import type { Member } from "../kit/lab/network.ts";

const PAUSE_MS = 50;
const ATTEMPTS_MAX = 600;

/** Resolves once somebody listens on a port of the member. */
export const listening = (member: Member, port: number): Promise<void> =>
  until(`${member.name} listens on port ${port}`, async () => (await sockets(member, ["-l", "sport", "=", `:${port}`])) > 0);

/** Resolves once a port of the member has so many connections. */
export const connected = (member: Member, port: number, count: number): Promise<void> =>
  until(`${count} connections to port ${port} of ${member.name}`, async () => {
    return (await sockets(member, ["state", "established", "sport", "=", `:${port}`])) >= count;
  });

/** Asks again and again, for half a minute. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    if (await holds()) return;
    await sleep(PAUSE_MS);
  }
  throw new Error(`gave up waiting: ${what}`);
}

async function sockets({ namespace }: Member, filter: readonly string[]): Promise<number> {
  const list = await commandIn(namespace, "ss", ["-Htn", ...filter]);
  return list.split("\n").filter(Boolean).length;
}
