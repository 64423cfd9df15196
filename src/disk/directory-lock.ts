import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { AnaxError } from "../base/errors.ts";
import { replaceFile } from "./atomic-replace.ts";
import { diskErrorOf } from "./disk-error.ts";

const LOCK_FILE = "anax.lock";
/** In the directory, while it is locked or its owner was killed: the owner's pid. */
export const PID_FILE = "anax.pid";
const SQLITE_BUSY = 5;

export interface DirectoryLock extends AsyncDisposable {
  readonly dir: string;
}

/**
 * Makes this process the only owner of a data directory. Throws `daemon.already-running` with the other's pid.
 *
 * The lock is the kernel's (`fcntl`, held through an exclusive SQLite transaction, as Node has no call for it): it ends with its
 * process, even by `kill -9`, and cannot be taken from a live one. The pid file is only for the message.
 */
export async function lockDirectory(dir: string): Promise<DirectoryLock> {
  try {
    await mkdir(dir, { recursive: true });
  } catch (error) {
    throw diskErrorOf(error, { dir });
  }
  const held = acquire(join(dir, LOCK_FILE));
  if (held === undefined) throw new AnaxError("daemon.already-running", { dir, pid: await ownerOf(dir) });
  try {
    await replaceFile(join(dir, PID_FILE), `${process.pid}\n`);
  } catch (error) {
    held.close();
    throw diskErrorOf(error, { dir });
  }
  return {
    dir,
    async [Symbol.asyncDispose]() {
      if (!held.isOpen) return;
      await rm(join(dir, PID_FILE), { force: true }); // while the lock is still ours, so that never another's is removed
      held.close();
    },
  };
}

/** An open database in an exclusive transaction, or undefined when another has it. */
function acquire(path: string): DatabaseSync | undefined {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: 0 });
    // In memory: the lock transaction must not leave a journal file that a successor would take for a crash.
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return database;
  } catch (error) {
    database?.close();
    if ((error as { errcode?: unknown }).errcode === SQLITE_BUSY) return undefined;
    throw diskErrorOf(error, { path });
  }
}

async function ownerOf(dir: string): Promise<number | undefined> {
  try {
    const pid = Number((await readFile(join(dir, PID_FILE), "utf8")).trim());
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined; // the owner has not written it yet
  }
}
