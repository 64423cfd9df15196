import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, openSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { Command, Option } from "commander";
import { AnaxError, errorOf, isErrorCode, type ErrorDetails } from "../../base/errors.ts";
import { createLog } from "../../base/log.ts";
import { socketPathOf } from "../../node/config.ts";
import { mountRecordDir } from "../../volume/mount/exit-record.ts";
import { parseMountOptions, type MountSettings } from "../../volume/mount/mount-settings.ts";
import { MOUNT_TYPE, mountAt } from "../../volume/mount/mount-table.ts";
import type { MountRequest } from "../../volume/mount/process-messages.ts";
import { superviseMount, type MountReady } from "../../volume/mount/supervisor.ts";
import { realClock } from "../../base/clock.ts";
import { Volumes } from "../../volume/lifecycle/volumes.ts";
import { adopted } from "../volume/adopt.ts";
import { remoteOf, withServer } from "../volume/options.ts";
import { startMountStatus, statusAddressOf } from "../mount-status.ts";
import { collect, withSettings, type SettingOptions } from "../options.ts";
import { printJson, printLine } from "../output.ts";
import { settingsOf } from "../settings.ts";

interface MountCommandOptions extends SettingOptions {
  readonly foreground?: boolean;
  readonly background?: boolean;
  readonly readOnly?: boolean;
  readonly allowOther?: boolean;
  readonly onGone?: MountSettings["onGone"];
  readonly options: readonly string[];
  readonly json?: boolean;
  readonly status?: string;
  readonly server?: string;
  readonly tokenFile?: string;
  readonly caFile?: string;
}

/** What a mount in the background tells the command that started it. */
type Told = { readonly ready: MountReady } | { readonly error: { readonly code: string; readonly details: ErrorDetails } };

export function command(): Command {
  return withServer(withSettings(new Command("mount")))
    .description(
      "Mount a volume on a directory. Ends with exit code 143 when the volume has been deleted. With --server, the service tells where the volume is, and is not needed afterwards.",
    )
    .argument("<volume>", "name or uuid of the volume")
    .argument("<dir>", "directory to mount it on; what it has is hidden meanwhile")
    .option("--foreground", "stay, and log to standard error; SIGTERM unmounts")
    .option("--background", "return once it is mounted (default)")
    .option("--read-only", "nobody may change anything through this mount")
    .option("--allow-other", "let all users of this machine in, as permissions allow; otherwise only you")
    .addOption(
      new Option("--on-gone <what>", "what the path becomes when the volume is deleted (default: detach)").choices(["detach", "poison"]),
    )
    .option("-o, --options <list>", "mount options, separated by commas (repeatable; see docs/operations/mounts.md)", collect, [])
    .option(
      "--status <[host:]port>",
      "serve /metrics, /healthz, /readyz and / of this mount there; port 0 takes a free one (default: nowhere)",
    )
    .option("--json", "print one JSON line when it is mounted")
    .action(async (volume: string, dir: string, options: MountCommandOptions) => {
      if (options.foreground === true && options.background === true)
        throw new AnaxError("input.invalid", { option: "--background", reason: "cannot be combined with --foreground" });
      const config = settingsOf(options);
      const { dataDir, logLevel } = config;
      const daemonSocket = socketPathOf(config);
      const request: MountRequest = { dataDir, volume, dir: mountPoint(dir), settings: mountSettings(options), daemonSocket, logLevel };
      const announce = (ready: MountReady): void => tell(ready, options.json === true);
      const remote = remoteOf(options);
      const complete = async (): Promise<MountRequest> =>
        remote === undefined ? request : { ...request, volume: (await adopted(new Volumes(dataDir, realClock), remote, volume)).name };
      const statusText = options.status ?? request.settings.status;
      const status = statusText === undefined ? undefined : statusAddressOf(statusText);
      if (options.foreground === true) process.exitCode = await serve({ complete, status, logLevel }, announce);
      else announce(await startInBackground(request));
    });
}

function mountSettings({ options, readOnly, allowOther, onGone }: MountCommandOptions): MountSettings {
  const settings = parseMountOptions(options.join(","));
  return {
    ...settings,
    ...(readOnly === true && { readOnly }),
    ...(allowOther === true && { allowOther }),
    ...(onGone !== undefined && { onGone }),
  };
}

/** As the kernel will show it. A dead mount of ours, left behind by something that killed all of its processes, is not taken for a directory. */
function mountPoint(dir: string): string {
  try {
    const path = realpathSync(dir);
    if (mountAt(path)?.type === MOUNT_TYPE) throw new AnaxError("volume.mount-failed", { dir: path, reason: "a volume is mounted there" });
    if (!statSync(path).isDirectory()) throw new AnaxError("volume.mount-failed", { dir: path, reason: "it is no directory" });
    return path;
  } catch (thrown) {
    if (thrown instanceof AnaxError) throw thrown;
    throw new AnaxError("volume.mount-failed", { dir, reason: errorOf(thrown).message }, { cause: thrown });
  }
}

interface Served {
  readonly complete: () => Promise<MountRequest>;
  readonly status: ReturnType<typeof statusAddressOf> | undefined;
  readonly logLevel: MountRequest["logLevel"];
}

async function serve({ complete, status: listen, logLevel }: Served, announce: (ready: MountReady) => void): Promise<number> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  const parent = process.connected ? process : undefined;
  const log = createLog(logLevel);
  try {
    await using status = listen === undefined ? undefined : await startMountStatus(listen, log);
    const onReady = (ready: MountReady): void => {
      status?.ready(ready);
      if (parent === undefined) return announce(ready);
      parent.send!({ ready } satisfies Told); // connected
      parent.disconnect();
    };
    const request = await complete();
    delete process.env["ANAX_VOLUME_TOKEN"]; // the processes that serve need none
    if (parent !== undefined) process.chdir("/"); // in the background it is to keep no file system busy
    return await superviseMount({ request, log, stop: stop.signal, onReady, meter: status?.meter, status: status?.address });
  } catch (thrown) {
    const { code, details } = errorOf(thrown);
    if (parent?.connected === true) {
      await new Promise((sent) => parent.send!({ error: { code, details } } satisfies Told, sent)); // connected
      parent.disconnect();
    }
    throw thrown;
  }
}

/** The same command in the foreground of nothing, with its log in the data directory. */
async function startInBackground(request: MountRequest): Promise<MountReady> {
  const records = mountRecordDir(request.dataDir, request.dir);
  mkdirSync(records, { recursive: true });
  const log = openSync(join(records, "log"), "a", 0o640);
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1), "--foreground"], {
    detached: true,
    stdio: ["ignore", log, log, "ipc"],
    env: { ...process.env },
  });
  const ended = once(child, "exit").then(([code]): Told => ({
    error: { code: "volume.mount-failed", details: { reason: `exit code ${code}`, log: join(records, "log") } },
  }));
  const told = await Promise.race([once(child, "message").then(([message]) => message as Told), ended]); // from `serve`
  child.unref();
  if ("ready" in told) return told.ready;
  throw new AnaxError(isErrorCode(told.error.code) ? told.error.code : "internal", told.error.details);
}

function tell(ready: MountReady, json: boolean): void {
  if (json) return printJson({ event: "mounted", ...ready });
  printLine(`${ready.volume} is mounted on ${ready.dir}${ready.readOnly ? ", read-only" : ""} (supervisor ${ready.supervisorPid})`);
  if (ready.status !== undefined) printLine(`status at ${ready.status}: /metrics /healthz /readyz`);
}
