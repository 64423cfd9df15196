import { mkdir, mkdtemp, rm, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { runAnax, startAnax, type AnaxOptions, type AnaxProcess, type Ran } from "../kit/anax.ts";
import { socketOf } from "../kit/cli.ts";
import { sha256OfGenerated, type GeneratedContent } from "../kit/generated-content.ts";
import { startOrigin, type Origin } from "../kit/origin.ts";
import { mountSmallDisk } from "../kit/small-disk.ts";
import { sha256OfFile } from "../kit/terminal.ts";
import { CannotHost } from "./incident.ts";

export const MIB = 1024 * 1024;

export interface Scene {
  readonly dir: string;
  readonly origin: Origin;
  /** Where the daemons find a path of the origin. */
  readonly url: (path: string) => string;
  readonly content: Readonly<Record<string, GeneratedContent>>;
}

/** A directory and an origin with these files, both gone with the scope. */
export async function aScene(scope: AsyncDisposableStack, content: Scene["content"]): Promise<Scene> {
  const dir = await mkdtemp(join(tmpdir(), "anax-incident-"));
  scope.defer(() => rm(dir, { recursive: true, force: true, maxRetries: 3 }));
  const origin = scope.use(await startOrigin({ content }));
  return { dir, origin, content, url: (path) => origin.url(path) };
}

export interface Starting {
  /** Default: of the same name, in the scene's directory. */
  readonly dataDir?: string;
  readonly schedulers?: readonly string[];
  readonly seed?: boolean;
  readonly set?: AnaxOptions["set"];
  /** See `AnaxOptions`. */
  readonly via?: AnaxOptions["via"];
}

/** A daemon of this name, stopped with the scope if it still runs then. */
export async function aDaemon(
  scope: AsyncDisposableStack,
  scene: Pick<Scene, "dir">,
  name: string,
  options: Starting = {},
): Promise<AnaxProcess> {
  const schedulers = (options.schedulers ?? []).flatMap((address) => ["--scheduler", address]);
  const args = ["--hostname", name, ...schedulers, ...(options.seed === true ? ["--seed"] : [])];
  const { dataDir = join(scene.dir, name), set = {}, via = [] } = options;
  return own(scope, await startAnax("daemon", { dataDir, args, set, via }));
}

/** A scheduler; with a port it can come back where it was. */
export async function aScheduler(
  scope: AsyncDisposableStack,
  scene: Scene,
  port = 0,
  { set = {}, via = [] }: Pick<Starting, "set" | "via"> = {},
): Promise<AnaxProcess & { readonly address: string }> {
  const started = await startAnax("scheduler", {
    dataDir: join(scene.dir, `scheduler-${port}`),
    set: { "scheduler.port": port, ...set },
    via,
  });
  return Object.assign(own(scope, started), { address: started.listeners["scheduler"]! }); // it printed it
}

/** One that stands still could not end by itself. */
function own<T extends AnaxProcess>(scope: AsyncDisposableStack, started: T): T {
  scope.defer(async () => {
    started.kill("SIGCONT");
    await started[Symbol.asyncDispose]();
  });
  return started;
}

/** Kills it as the kernel would, and waits until it is gone. */
export async function slay(victim: AnaxProcess): Promise<void> {
  victim.kill("SIGKILL");
  await victim.exited;
}

export const urlOf = (scene: Scene, path: string): string => scene.url(path);

/** Downloads through a daemon and compares every byte; the seconds that it took. Throws with the command's words when it fails. */
export async function fetched(scene: Scene, daemon: AnaxProcess, path: string, more: readonly string[] = []): Promise<number> {
  const output = join(scene.dir, "out", `${daemon.pid}-${basename(path)}`);
  await mkdir(join(scene.dir, "out"), { recursive: true });
  const startedMs = performance.now();
  const ran = await anax(daemon, ["get", urlOf(scene, path), "-O", output, "--overwrite", ...more]);
  const seconds = (performance.now() - startedMs) / 1000;
  if (ran.code !== 0) throw new Error(`get ${path} ended with ${ran.code}: ${ran.stderr.trim()}`);
  if ((await sha256OfFile(output)) !== sha256OfGenerated(scene.content[path]!)) throw new Error(`${path} has wrong bytes`); // it was fetched
  await rm(output); // else the hard link would keep it in use
  return seconds;
}

/** A command that talks to this daemon. */
export const anax = (daemon: AnaxProcess, [command, ...args]: readonly string[]): Promise<Ran> =>
  runAnax([command ?? "", "-e", socketOf(daemon), ...args]);

export function demand(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

/** A real file system of so many bytes, which can really be full; for a data directory. */
export async function aSmallDisk(scope: AsyncDisposableStack, bytes: number): Promise<string> {
  const disk = await mountSmallDisk(bytes);
  if (typeof disk === "string") throw new CannotHost(disk);
  return scope.use(disk).dir;
}

/** Takes every byte that is left, as another program's log would. */
export async function fill(dir: string): Promise<void> {
  const { bavail, bsize } = await statfs(dir);
  await writeFile(join(dir, "filler"), Buffer.alloc(bavail * bsize)).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== "ENOSPC") throw thrown;
  });
}
