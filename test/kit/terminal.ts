import { spawn, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { anaxCommand, exitOf } from "./anax.ts";

/** A command of Anax on a real pseudo terminal, as `script` of util-linux makes one. */
export interface Terminal extends AsyncDisposable {
  /** All that the screen got, escape sequences included. */
  text(): string;
  /** Resolves once the screen has had this text; rejects when the command ends before. */
  shows(wanted: string | RegExp): Promise<void>;
  type(text: string): Promise<void>;
  readonly exited: Promise<number | NodeJS.Signals>;
}

const SCREEN = "stty cols 160 rows 40; exec ";

export async function onTerminal(args: readonly string[], options: { readonly cwd?: string } = {}): Promise<Terminal> {
  const command = SCREEN + anaxCommand(args).map(quoted).join(" ");
  const child = spawn("script", ["--quiet", "--return", "--echo", "never", "--command", command, "/dev/null"], {
    ...options,
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, TERM: "xterm-256color", SHELL: "/bin/sh" },
  });
  const chunks: Buffer[] = [];
  const watchers = new Set<() => void>();
  const look = (): void => watchers.forEach((watch) => watch());
  child.stdout.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    look();
  });
  const text = (): string => Buffer.concat(chunks).toString();
  const exited = exitOf(child);
  return {
    text,
    exited,
    shows(wanted) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const watch = (): void => {
        if (typeof wanted === "string" ? text().includes(wanted) : wanted.test(text())) resolve();
      };
      watchers.add(watch);
      watch();
      void exited.then((code) => reject(new Error(`it ended with ${String(code)} before it showed ${String(wanted)}:\n${text()}`)));
      return promise.finally(() => watchers.delete(watch));
    },
    type: (typed) => new Promise((resolve, reject) => child.stdin.write(typed, (error) => (error ? reject(error) : resolve()))),
    [Symbol.asyncDispose]: () => stop(child, exited),
  };
}

async function stop(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM"); // script hangs up on the command
  await exited;
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Lower-case hex. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
