import { constants } from "node:fs";
import { access, mkdir, readdir, stat, statfs } from "node:fs/promises";
import { connect } from "node:net";
import { realClock } from "../../base/clock.ts";
import { AnaxError, errorOf } from "../../base/errors.ts";
import { formatBytes } from "../../base/units.ts";
import { textIn } from "../../node/kernel-text.ts";
import { parseGrpcAddress } from "../../wire/grpc/address.ts";
import { openChannel } from "../../wire/grpc/client.ts";
import { DaemonService } from "../../wire/grpc/gen/anax/v1/daemon.ts";
import { findingOf, type Finding, type Place } from "./finding.ts";
import { inUse } from "./in-use.ts";
import { kernelLog, lastRun, memory, swap } from "./memory.ts";
import { systemd } from "./systemd.ts";

type Check = (place: Place) => Promise<readonly Finding[]> | readonly Finding[];

const NODE_MIN = [24, 12] as const;
const FILES_MIN = 4096;
const INODES_WARN_PERCENT = 85;
const PROBE_TIMEOUT_MS = 2000;

/** Each looks at one thing and never throws for what it finds wrong. */
export const CHECKS: readonly Check[] = [
  runtime,
  sendfile,
  dataDir,
  disk,
  openFiles,
  memory,
  swap,
  kernelLog,
  lastRun,
  systemd,
  daemon,
  ports,
  schedulers,
  inUse,
];

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
  const { diskBusyPercent, diskFullPercent } = config.p2p.scheduler;
  const usedPercent = total === 0 ? 0 : Math.round((1 - free / total) * 100);
  const found = `${formatBytes(free)} of ${formatBytes(total)} free, ${usedPercent} % used`;
  const { quotaBytes } = config.p2p.pieces;
  const room = "make room, lower p2p.pieces.quotaBytes, or: anax rm --all";
  const mend =
    usedPercent >= diskFullPercent
      ? `from ${diskFullPercent} % on this host reads nothing from sources for others: ${room}`
      : usedPercent >= diskBusyPercent
        ? `from ${diskBusyPercent} % on a seed gets no new tasks: ${room}`
        : quotaBytes > total
          ? `p2p.pieces.quotaBytes (${formatBytes(quotaBytes)}) is more than the disk holds: lower it`
          : undefined;
  const inodesUsed = facts.files === 0 ? 0 : Math.round((1 - facts.ffree / facts.files) * 100);
  return [
    findingOf("disk", found, mend),
    findingOf(
      "inodes",
      `${facts.ffree} of ${facts.files} free, ${inodesUsed} % used`,
      inodesUsed < INODES_WARN_PERCENT ? undefined : "remove files, or use a file system with more inodes",
    ),
  ];
}

/** Content files, a connection for each peer and client, and both sides of each relayed request. */
async function openFiles({ config, pid }: Place): Promise<readonly Finding[]> {
  const soft = Number(/^Max open files\s+(\d+)/m.exec(textIn(`/proc/${pid}/limits`))?.[1] ?? Number.NaN);
  if (Number.isNaN(soft)) return [];
  const needed = Math.max(FILES_MIN, config.p2p.pieces.openFilesMax * 2);
  const open = await readdir(`/proc/${pid}/fd`).then(
    ({ length }) => `, ${length} open`,
    () => "",
  );
  const mend = `raise it to ${needed} or more: ulimit -n, or LimitNOFILE= in the unit`;
  return [findingOf("open files", `limit ${soft}${open}`, soft < needed ? mend : undefined)];
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
