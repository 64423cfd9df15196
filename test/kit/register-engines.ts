import { chmod, mkdir, writeFile } from "node:fs/promises";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createTestCertificate } from "./certificates.ts";
import { freePort, listens, must, start, type Background } from "./process.ts";

/** A real engine that a register is kept in, with its own data directory. */
export interface RegisterEngine {
  /** The register's URL, when the engine is reached on this port. */
  readonly urlOn: (port: number) => string;
  readonly port: number;
  /** Runs it until it is disposed; what was kept before is there again. */
  readonly run: () => Promise<Background>;
}

/** Why it cannot run here; undefined: it can. */
export type Lack = string | undefined;

export interface EngineKind {
  readonly name: string;
  readonly lack: () => Lack;
  readonly prepare: (directory: string) => Promise<RegisterEngine>;
}

const POSTGRES_ROOT = "/usr/lib/postgresql";
const isRoot = process.getuid?.() === 0;

export const REGISTER_ENGINES: readonly EngineKind[] = [
  { name: "redis-server", lack: () => lackOf("/usr/bin/redis-server"), prepare: redis },
  { name: "Anax's own store", lack: () => undefined, prepare: ownStore },
  { name: "PostgreSQL", lack: () => (postgresPrograms() === undefined ? "PostgreSQL is not installed" : undefined), prepare: postgres },
  { name: "etcd", lack: () => lackOf("/usr/bin/etcd"), prepare: (directory) => etcd(directory) },
  {
    name: "etcd over TLS",
    lack: () => lackOf("/usr/bin/etcd"),
    prepare: async (directory) => etcd(directory, await certificatesIn(directory)),
  },
];

/** Without what differs from another one by its connection only: for long suites of what an engine keeps. */
export const DISTINCT_ENGINES: readonly EngineKind[] = REGISTER_ENGINES.filter(({ name }) => name !== "etcd over TLS");

const lackOf = (program: string): Lack => (existsSync(program) ? undefined : `${program} is not installed`);

async function redis(directory: string): Promise<RegisterEngine> {
  const port = await freePort();
  const args = ["--port", String(port), "--dir", directory, "--save", "", "--appendonly", "yes", "--appendfsync", "always"];
  return {
    port,
    urlOn: (at) => `redis://127.0.0.1:${at}`,
    run: () => start("redis-server", args, { logFile: join(directory, "log"), ready: () => listens(port) }),
  };
}

async function ownStore(directory: string): Promise<RegisterEngine> {
  const port = await freePort();
  const options = JSON.stringify({ port, dataDir: directory, parameters: { appendonly: true, appendfsync: "always" } });
  const args = ["--disable-warning=ExperimentalWarning", join(import.meta.dirname, "../store/store-server.ts"), options];
  return {
    port,
    urlOn: (at) => `redis://127.0.0.1:${at}`,
    // A process of its own: who keeps metadata in it may block the thread that asks.
    run: () => start(process.execPath, args, { logFile: join(directory, "log"), ready: () => listens(port) }),
  };
}

interface CertificateFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Of the server, and of its clients. */
async function certificatesIn(directory: string): Promise<CertificateFiles> {
  const pem = createTestCertificate(["127.0.0.1"]);
  const files = { ca: join(directory, "ca.pem"), cert: join(directory, "cert.pem"), key: join(directory, "key.pem") };
  await Promise.all([writeFile(files.ca, pem.ca), writeFile(files.cert, pem.cert), writeFile(files.key, pem.key, { mode: 0o600 })]);
  return files;
}

async function etcd(directory: string, tls?: CertificateFiles): Promise<RegisterEngine> {
  const [port, peerPort, healthPort] = [await freePort(), await freePort(), await freePort()];
  const [client, peer, health] = [
    `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    `http://127.0.0.1:${peerPort}`,
    `http://127.0.0.1:${healthPort}`,
  ];
  const options = {
    "data-dir": join(directory, "data"),
    "max-txn-ops": "10000",
    "listen-client-urls": client,
    "advertise-client-urls": client,
    "listen-metrics-urls": health,
    "listen-peer-urls": peer,
    "initial-advertise-peer-urls": peer,
    "initial-cluster": `default=${peer}`,
    ...(tls !== undefined && { "trusted-ca-file": tls.ca, "cert-file": tls.cert, "key-file": tls.key, "client-cert-auth": "true" }),
  };
  const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
  return {
    port,
    urlOn: (at) =>
      tls === undefined ? `etcd://127.0.0.1:${at}` : `etcds://127.0.0.1:${at}?cacert=${tls.ca}&cert=${tls.cert}&key=${tls.key}`,
    run: () => start("etcd", args, { logFile: join(directory, "log"), ready: () => etcdReady(health) }),
  };
}

async function etcdReady(health: string): Promise<boolean> {
  const answer = await fetch(`${health}/health`).catch(() => undefined);
  return answer?.ok === true && (await answer.text()).includes("true");
}

function postgresPrograms(): string | undefined {
  if (!existsSync(POSTGRES_ROOT)) return undefined;
  const versions = readdirSync(POSTGRES_ROOT).toSorted((a, b) => Number(b) - Number(a));
  return versions.map((version) => join(POSTGRES_ROOT, version, "bin")).find((bin) => existsSync(join(bin, "initdb")));
}

/** It refuses to be root: then it is the user that its package has made. */
async function postgres(directory: string): Promise<RegisterEngine> {
  const port = await freePort();
  const programs = postgresPrograms()!; // `lack` has looked
  const data = join(directory, "data");
  await mkdir(data, { mode: 0o700 });
  if (isRoot) {
    await chmod(directory, 0o755);
    await must("chown", ["postgres", data]);
  }
  const as = (program: string, args: readonly string[]): [string, string[]] => {
    const path = join(programs, program);
    return isRoot ? ["setpriv", ["--reuid=postgres", "--regid=postgres", "--clear-groups", path, ...args]] : [path, [...args]];
  };
  await must(...as("initdb", ["-D", data, "-U", "anax", "--auth=trust", "--no-locale", "-E", "UTF8"]), { cwd: "/" });
  const server = as("postgres", ["-D", data, "-p", String(port), "-h", "127.0.0.1", "-k", "", "-c", "shared_buffers=8MB"]);
  const ready = (): Promise<boolean> =>
    must(...as("pg_isready", ["-h", "127.0.0.1", "-p", String(port)]), { cwd: "/" }).then(
      () => true,
      () => false,
    );
  return {
    port,
    urlOn: (at) => `postgres://anax@127.0.0.1:${at}/postgres`,
    // By SIGTERM it would wait for whoever is connected, or connects at that moment.
    run: () => start(...server, { cwd: "/", logFile: join(directory, "log"), ready, stopSignal: "SIGINT" }),
  };
}
