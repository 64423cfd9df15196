import { existsSync, readdirSync } from "node:fs";
import { command } from "./command.ts";

const PREFIX = "anax-lab-";
const RUN = "/run/netns";

/** Names say which process made them, so that what a killed one left behind is known as such. */
export const namespacePrefix = (pid: number): string => `${PREFIX}${pid}-`;

/** The process that made a namespace, when it was one of ours. */
export function makerOf(namespace: string): number | undefined {
  const match = /^anax-lab-(\d+)-/.exec(namespace);
  return match === null ? undefined : Number(match[1]);
}

/** Removes the networks of processes that ended without doing so. */
export async function forgetDeadLabs(): Promise<void> {
  if (!existsSync(RUN)) return;
  for (const namespace of readdirSync(RUN)) {
    const maker = makerOf(namespace);
    if (maker === undefined || existsSync(`/proc/${maker}`)) continue;
    for (const pid of (await command("ip", ["netns", "pids", namespace])).split("\n").filter(Boolean)) process.kill(Number(pid), "SIGKILL");
    await command("ip", ["netns", "delete", namespace]);
  }
}
