import { setTimeout as sleep } from "node:timers/promises";
import { commandIn } from "../kit/lab/command.ts";
import type { Member } from "../kit/lab/network.ts";
import type { Running } from "../kit/lab/processes.ts";

const PAUSE_MS = 50;
const ATTEMPTS_MAX = 600;

/** Resolves once a process of the member listens on a port; throws when it ends before. */
export async function serving(running: Running, member: Member, port: number): Promise<void> {
  let ended: number | NodeJS.Signals | undefined;
  void running.exited.then((status) => (ended = status));
  await until(`${member.name} listens on port ${port}`, async () => {
    if (ended !== undefined) throw new Error(`what should listen on port ${port} of ${member.name} ended: ${running.lastWords()}`);
    return (await sockets(member, ["-l", "sport", "=", `:${port}`])) > 0;
  });
}

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
