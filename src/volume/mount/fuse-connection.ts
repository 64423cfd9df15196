import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runProgram } from "./run-program.ts";

const CONNECTIONS = "/sys/fs/fuse/connections";

/** The kernel's own switches of a FUSE connection; undefined where its file system for them cannot be had. */
export interface FuseConnection {
  /** Requests that wait for an answer. Undefined once the connection is gone. */
  waiting(): number | undefined;
  /** Ends it: whoever waits gets an error now, and so does everybody later. */
  abort(): void;
}

export async function openFuseConnection(id: number): Promise<FuseConnection | undefined> {
  const dir = join(CONNECTIONS, String(id));
  if (!existsSync(dir)) await runProgram("mount", ["-t", "fusectl", "fusectl", CONNECTIONS]); // missing in most containers
  if (!existsSync(dir)) return undefined;
  return {
    waiting() {
      try {
        return Number(readFileSync(join(dir, "waiting"), "utf8"));
      } catch {
        return undefined;
      }
    },
    abort() {
      try {
        writeFileSync(join(dir, "abort"), "1");
      } catch {
        // it is gone, which is what was wanted
      }
    },
  };
}
