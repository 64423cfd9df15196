import { constants } from "node:fs";
import { access, mkdir, readFile, stat, statfs } from "node:fs/promises";
import { connect } from "node:net";
import { realClock } from "../../base/clock.ts";
import { AnaxError, errorOf } from "../../base/errors.ts";
import { formatBytes } from "../../base/units.ts";
import type { AnaxConfig } from "../../node/config.ts";
import { parseGrpcAddress } from "../../wire/grpc/address.ts";
import { openChannel } from "../../wire/grpc/client.ts";
import { DaemonService } from "../../wire/grpc/gen/anax/v1/daemon.ts";
import { inUse } from "./in-use.ts";

export interface Finding {
  readonly check: string;
  readonly state: "ok" | "warn" | "fail";
  readonly found: string;
  /** What to do about it; absent when all is well. */
  readonly mend?: string;
}

export interface Place {
  readonly config: AnaxConfig;
  readonly socketPath: string;
}

type Check = (place: Place) => Promise<readonly Finding[]> | readonly Finding[];

const NODE_MIN = [24, 12] as const;
const FILES_MIN = 4096;
const MEMORY_MIN_BYTES = 256 * 1024 ** 2;
const DISK_WARN_PERCENT = 85;
const PROBE_TIMEOUT_MS = 2000;

/** Each looks at one thing and never throws for what it finds wrong. */
export const CHECKS: readonly Check[] = [runtime, sendfile, dataDir, disk, openFiles, memory, daemon, ports, schedulers, inUse];

function runtime(): readonly Finding[] {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const enough = major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1]);
  const found = `node ${process.versions.node}`;
  return [
    enough
      ? { check: "runtime", state: "ok", found }
      : { check: "runtime", state: "fail", found, mend: `install node ${NODE_MIN.join(".")} or newer` },
  ];
}

async function sendfile(): Promise<readonly Finding[]> {
  const loads = await import("koffi").then(
    () => true,
    () => false,
  );
  if (loads) return [{ check: "sendfile", state: "ok", found: "available through koffi" }];
  return [
    {
      check: "sendfile",
      state: "warn",
      found: "not available, plain copies are used",
      mend: "npm install koffi, for about half the CPU per byte served",
    },
  ];
}

async function dataDir({ config }: Place): Promise<readonly Finding[]> {
  try {
    await mkdir(config.dataDir, { recursive: true });
    await access(config.dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
    return [{ check: "data directory", state: "ok", found: config.dataDir }];
  } catch (thrown) {
    return [
      {
        check: "data directory",
        state: "fail",
        found: `${config.dataDir}: ${errorOf(thrown).message}`,
        mend: "give this user the directory, or set another one with --data-dir",
      },
    ];
  }
}

async function disk({ config }: Place): Promise<readonly Finding[]> {
  const facts = await statfs(config.dataDir).catch(() => undefined);
  if (facts === undefined) return [];
  const total = facts.blocks * facts.bsize;
  const free = facts.bavail * facts.bsize;
  const usedPercent = total === 0 ? 0 : Math.round((1 - free / total) * 100);
  const found = `${formatBytes(free)} of ${formatBytes(total)} free`;
  const inodesUsed = facts.files === 0 ? 0 : Math.round((1 - facts.ffree / facts.files) * 100);
  return [
    usedPercent < DISK_WARN_PERCENT
      ? { check: "disk", state: "ok", found }
      : {
          check: "disk",
          state: "warn",
          found: `${found}, ${usedPercent} % used`,
          mend: "make room, lower p2p.pieces.quotaBytes, or: anax rm --all",
        },
    inodesUsed < DISK_WARN_PERCENT
      ? { check: "inodes", state: "ok", found: `${inodesUsed} % used` }
      : { check: "inodes", state: "warn", found: `${inodesUsed} % used`, mend: "remove files, or use a file system with more inodes" },
  ];
}

async function openFiles(): Promise<readonly Finding[]> {
  const text = await readFile("/proc/self/limits", "utf8").catch(() => "");
  const soft = Number(/^Max open files\s+(\d+)/m.exec(text)?.[1] ?? Number.NaN);
  if (Number.isNaN(soft)) return [];
  if (soft >= FILES_MIN) return [{ check: "open files", state: "ok", found: `limit ${soft}` }];
  return [
    {
      check: "open files",
      state: "warn",
      found: `limit ${soft}`,
      mend: `raise it to ${FILES_MIN} or more: ulimit -n, or LimitNOFILE= in the unit`,
    },
  ];
}

/** The cgroup's limit, version 2 or 1, and how often the kernel killed somebody in it for memory. */
async function memory(): Promise<readonly Finding[]> {
  const limit = Number(
    (await read("/sys/fs/cgroup/memory.max")) || (await read("/sys/fs/cgroup/memory/memory.limit_in_bytes")) || Number.NaN,
  );
  const events = (await read("/sys/fs/cgroup/memory.events")) || (await read("/sys/fs/cgroup/memory/memory.oom_control"));
  const kills = Number(/oom_kill (\d+)/.exec(events)?.[1] ?? 0);
  const limited = Number.isFinite(limit) && limit < 2 ** 60;
  const found = `${limited ? `cgroup limit ${formatBytes(limit)}` : "no cgroup limit"}, ${kills} processes killed for memory`;
  if (limited && limit < MEMORY_MIN_BYTES)
    return [{ check: "memory", state: "warn", found, mend: `give the service at least ${formatBytes(MEMORY_MIN_BYTES)}` }];
  if (kills > 0) return [{ check: "memory", state: "warn", found, mend: "raise the memory limit, or lower p2p.daemon.downloadsMax" }];
  return [{ check: "memory", state: "ok", found }];
}

async function read(path: string): Promise<string> {
  return (await readFile(path, "utf8").catch(() => "")).trim();
}

async function daemon({ socketPath }: Place): Promise<readonly Finding[]> {
  const present = await stat(socketPath).catch(() => undefined);
  if (present === undefined)
    return [{ check: "daemon", state: "warn", found: `no socket at ${socketPath}`, mend: "start one: anax up, or: anax daemon" }];
  using channel = openChannel({ path: socketPath }, { clock: realClock });
  try {
    const info = await channel.unary(DaemonService.info, {}, { timeoutMs: PROBE_TIMEOUT_MS });
    return [{ check: "daemon", state: "ok", found: `${info.version} answers, pid ${info.pid}, data in ${info.dataDir}` }];
  } catch (thrown) {
    const reason = errorOf(thrown).message;
    return [
      {
        check: "daemon",
        state: "warn",
        found: `${socketPath}: ${reason}`,
        mend: "nobody answers on the socket; a daemon that starts takes it over",
      },
    ];
  }
}

/** Ports that a daemon needs. One that is taken is fine only when it is our own daemon's. */
async function ports({ config, socketPath }: Place): Promise<readonly Finding[]> {
  if ((await stat(socketPath).catch(() => undefined)) !== undefined) return [];
  const wanted: readonly (readonly [string, number])[] = [
    ["p2p.daemon.uploadPort", config.p2p.daemon.uploadPort],
    ["p2p.daemon.transferPort", config.p2p.daemon.transferPort],
    ["p2p.proxy.port", config.p2p.proxy.port],
    ["status.port", config.status.port],
  ];
  const taken = (await Promise.all(wanted.map(async ([, port]) => port !== 0 && (await connects("127.0.0.1", port))))).map((is, i) =>
    is ? wanted[i]! : undefined,
  ); // same length
  const clashes = taken.filter((entry) => entry !== undefined);
  if (clashes.length === 0) return [{ check: "ports", state: "ok", found: wanted.map(([, port]) => port).join(", ") }];
  return clashes.map(([setting, port]) => ({
    check: "ports",
    state: "fail",
    found: `${port} is taken`,
    mend: `end what listens there (ss -ltnp), or set ${setting}`,
  }));
}

async function schedulers({ config }: Place): Promise<readonly Finding[]> {
  const list = config.p2p.daemon.schedulers;
  if (list.length === 0) return [{ check: "schedulers", state: "ok", found: "none set: this daemon works alone" }];
  return Promise.all(
    list.map(async (text): Promise<Finding> => {
      const mend = "start it (anax scheduler), or correct p2p.daemon.schedulers";
      try {
        const address = parseGrpcAddress(text);
        const reached = "port" in address && (await connects(address.host, address.port));
        return reached
          ? { check: "schedulers", state: "ok", found: `${text} answers` }
          : { check: "schedulers", state: "fail", found: `${text} does not answer`, mend };
      } catch (thrown) {
        return {
          check: "schedulers",
          state: "fail",
          found: `${text}: ${thrown instanceof AnaxError ? thrown.message : String(thrown)}`,
          mend,
        };
      }
    }),
  );
}

function connects(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: PROBE_TIMEOUT_MS });
    const end = (reached: boolean): void => {
      socket.destroy();
      resolve(reached);
    };
    socket
      .once("connect", () => end(true))
      .once("error", () => end(false))
      .once("timeout", () => end(false));
  });
}
