import { spawn } from "node:child_process";
import { once } from "node:events";

/** Keeps everybody from writing to a SQLite file, as a process that hangs in the middle of a transaction would. */
export async function aDatabaseLock(path: string): Promise<AsyncDisposable> {
  const script = `
    const { DatabaseSync } = require("node:sqlite");
    const database = new DatabaseSync(process.argv[1], { timeout: 10_000 });
    database.exec("BEGIN IMMEDIATE");
    console.log("locked");
    process.stdin.resume().on("end", () => process.exit(0));`;
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "-e", script, path], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  await once(child.stdout, "data");
  return {
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await exited;
    },
  };
}
