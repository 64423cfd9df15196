import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { lockDirectory } from "../../disk/directory-lock.ts";
import type { Session } from "../meta/control.ts";

/** Between its entry in the metadata and its lock. */
const BEGIN_MS = 1000;

/** Shows other processes of this machine that a session lives: a lock that ends with its process, however that ends. */
export async function showLife(sessions: string, id: number): Promise<AsyncDisposable> {
  const lock = await lockDirectory(lockDir(sessions, id));
  return {
    async [Symbol.asyncDispose]() {
      await lock[Symbol.asyncDispose]();
      await rm(lock.dir, { recursive: true, force: true });
    },
  };
}

/** Whether it is certain that a session of this machine lives no more; of others nobody here knows. */
export async function hasEnded(sessions: string, { id, startedAtMs }: Session, clock: Clock): Promise<boolean> {
  const dir = lockDir(sessions, id);
  if (!existsSync(dir) || clock.wallMs() - startedAtMs < BEGIN_MS) return false;
  try {
    await (await lockDirectory(dir))[Symbol.asyncDispose]();
    await rm(dir, { recursive: true, force: true });
    return true;
  } catch {
    return false; // somebody has it, or nobody can tell
  }
}

const lockDir = (sessions: string, id: number): string => join(sessions, String(id));
