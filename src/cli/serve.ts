import type { Command } from "commander";
import { formatDuration } from "../base/units.ts";
import { VERSION } from "../base/version.ts";
import type { Log } from "../base/log.ts";
import { socketPathOf, type AnaxConfig } from "../node/config.ts";
import type { Running } from "../node/run.ts";
import { collectGarbage } from "../node/small-heap.ts";
import type { Roles } from "../node/start.ts";
import { printJson, printLine } from "./output.ts";
import { withSettings, type SettingOptions } from "./options.ts";
import { settingsOf } from "./settings.ts";

export interface ServeOptions extends SettingOptions {
  readonly json?: boolean;
}

/** Roles, of which some depend on a setting. */
type WantedRoles = Omit<Roles, "store" | "s3" | "volumes"> & {
  readonly store: boolean | "if enabled";
  readonly s3?: boolean | "if enabled";
  readonly volumes?: boolean | "if enabled";
};

/** What `up`, `scheduler` and `daemon` share. */
export function withServe(command: Command): Command {
  return withSettings(command).option("--json", "print one JSON line when ready, instead of a table");
}

/**
 * Runs roles in the foreground and prints what listens where once they serve. Somebody who watches a terminal reads that table, and
 * gets only warnings besides; a file or a journal gets everything.
 */
export async function serve(options: ServeOptions, wanted: WantedRoles, flags: Readonly<Record<string, unknown>>): Promise<void> {
  const config = settingsOf(options, { flags, defaults: process.stderr.isTTY ? { logLevel: "warn" } : {} });
  const roles: Roles = {
    ...wanted,
    store: wanted.store === "if enabled" ? config.store.enabled : wanted.store,
    s3: wanted.s3 === "if enabled" ? config.volume.s3.enabled : wanted.s3 === true,
    volumes: wanted.volumes === "if enabled" ? config.volume.service.enabled : wanted.volumes === true,
  };
  // Loaded only now: help and wrong settings must not wait for all that serving needs.
  const [{ createLog }, { runUntilSignal }, { startNode }] = await Promise.all([
    import("../base/log.ts"),
    import("../node/run.ts"),
    import("../node/start.ts"),
  ]);
  const log = createLog(config.logLevel);
  await runUntilSignal(
    log,
    async () => {
      const running = await startNode(config, roles, log);
      return roles.daemon ? withGetAtOnce(running, socketPathOf(config), log) : running;
    },
    (running) => {
      announce(running, config, roles, options.json === true);
      if (roles.daemon) collectGarbage();
    },
  );
}

async function withGetAtOnce(running: Running, socketPath: string, log: Log): Promise<Running> {
  const { serveAtOnce } = await import("./get/at-once-server.ts");
  const atOnce = await serveAtOnce(socketPath, log);
  return {
    ...running,
    async [Symbol.asyncDispose]() {
      await atOnce[Symbol.asyncDispose]();
      await running[Symbol.asyncDispose]();
    },
  };
}

function announce({ listeners }: Running, config: AnaxConfig, roles: Roles, json: boolean): void {
  const readyMs = Math.round(process.uptime() * 1000);
  if (json) return printJson({ event: "ready", readyMs, pid: process.pid, dataDir: config.dataDir, roles, listeners });
  const names = Object.entries(roles).flatMap(([role, runs]) => (runs === true ? [role] : []));
  printLine(`anax ${VERSION} (${names.join(", ")}) is ready after ${formatDuration(readyMs)}; data in ${config.dataDir}`);
  for (const { name, address } of listeners) printLine(`  ${name.padEnd(10)} ${address.padEnd(32)} ${MEANINGS[name] ?? ""}`.trimEnd());
  if (roles.store && !roles.daemon) printLine("The store is not complete: see docs/reference/redis-compatibility.md");
  if (listeners.some(({ name }) => name === "socket")) printLine("Try: anax get <url> -O <file>");
}

const MEANINGS: Readonly<Record<string, string>> = {
  scheduler: "other machines join with: anax daemon --scheduler <this host>:<port>",
  upload: "gRPC for other peers",
  transfer: "pieces for other peers (Vortex)",
  proxy: "registry mirror and HTTP proxy",
  socket: "for anax get and friends on this machine",
  store: "Redis' protocol: redis-cli -p <port>",
  "store-tls": "the same over TLS",
  volumes: "anax volume <command> --server <this address>",
  s3: "volumes as buckets, for any client of S3",
  status: "/metrics /healthz /readyz",
};
