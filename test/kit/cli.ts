import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { runAnax, startAnax, type AnaxOptions, type AnaxProcess, type Ran, type RunOptions } from "./anax.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { startOrigin, type Origin, type OriginOptions } from "./origin.ts";

/** A machine with Anax on it, an origin, and an empty directory for outputs: what a person has before them who types commands. */
export interface Desk extends AsyncDisposable {
  readonly daemon: AnaxProcess;
  readonly origin: Origin;
  /** Where outputs go; nothing else is in it. */
  readonly out: string;
  /** For anything else. */
  readonly dir: string;
  readonly socket: string;
  /** A command that talks to the daemon, to its end; an endpoint of its own wins. */
  run(args: readonly string[], options?: RunOptions): Promise<Ran>;
  /** `anax get` of a path of the origin (or a whole URL) to a file in `out`. */
  get(path: string, output: string, ...args: readonly string[]): Promise<Ran>;
  /** Names in `out`, hidden ones too. */
  outputs(): Promise<readonly string[]>;
}

export interface DeskOptions extends OriginOptions {
  readonly role?: "up" | "daemon";
  readonly set?: AnaxOptions["set"];
  readonly args?: readonly string[];
  /** Default: below the desk's own directory. */
  readonly dataDir?: string;
}

export async function aDesk(options: DeskOptions = {}): Promise<Desk> {
  await using scope = new AsyncDisposableStack();
  const { path: dir } = scope.use(await temporaryDirectory());
  const origin = scope.use(await startOrigin(options));
  const dataDir = options.dataDir ?? join(dir, "data");
  const daemon = scope.use(await startAnax(options.role ?? "up", { dataDir, set: options.set ?? {}, args: options.args ?? [] }));
  const out = join(dir, "out");
  await mkdir(out);
  const socket = socketOf(daemon);
  const run: Desk["run"] = ([command = "", ...args], more = {}) => runAnax([command, "-e", socket, ...args], more);
  const owned = scope.move();
  return {
    daemon,
    origin,
    out,
    dir,
    socket,
    run,
    get: (path, output, ...args) => run(["get", path.startsWith("/") ? origin.url(path) : path, "-O", join(out, output), ...args]),
    outputs: async () => (await readdir(out)).toSorted(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The socket that a daemon printed. */
export function socketOf(daemon: AnaxProcess): string {
  return (daemon.listeners["socket"] ?? "").replace(/^unix:/, "");
}

/** The code of the error that a command ended with; throws unless it is one line, as promised. */
export function errorCodeOf(ran: Ran): string {
  const lines = ran.stderr.split("\n").filter((line) => line !== "");
  const match = lines.length === 1 ? /^error ([a-z.-]+): \S/.exec(lines[0]!) : null; // just counted
  if (match === null) throw new Error(`expected one error line, got exit code ${ran.code} and:\n${ran.stderr}\n${ran.stdout}`);
  return match[1]!; // the pattern has the group
}

/** JSON lines as values. */
export function jsonLines(text: string): readonly Readonly<Record<string, unknown>>[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
