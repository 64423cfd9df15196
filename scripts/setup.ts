import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Debian packages that tests run against, and the program by which each is recognised. */
const PACKAGES: Readonly<Record<string, string>> = {
  "apache2-utils": "htpasswd",
  "busybox-static": "/bin/busybox",
  buildah: "buildah",
  containerd: "containerd",
  curl: "curl",
  "docker.io": "dockerd",
  "docker-registry": "docker-registry",
  "etcd-server": "etcd",
  fish: "fish",
  fuse3: "fusermount3",
  iproute2: "ip",
  iptables: "iptables",
  nginx: "nginx",
  podman: "podman",
  postgresql: "/usr/share/postgresql-common/supported-versions",
  "python3-redis": "/usr/lib/python3/dist-packages/redis/client.py",
  "redis-server": "redis-server",
  "redis-tools": "redis-benchmark",
  rclone: "rclone",
  runc: "runc",
  s3cmd: "s3cmd",
  skopeo: "skopeo",
  zsh: "zsh",
};

/** Libraries and plugins without a program of their own that come along. */
const COMPANIONS = ["ca-certificates", "netavark", "aardvark-dns", "containernetworking-plugins", "uidmap"];

/** What the broadcast benchmark needs: rivals, and what its network is made with and looked at. */
const BROADCAST_PACKAGES: Readonly<Record<string, string>> = {
  aria2: "aria2c",
  curl: "curl",
  ethtool: "ethtool",
  gcc: "gcc",
  iproute2: "ip",
  iptables: "iptables",
  "libc6-dev": "/usr/include/stdio.h",
  nginx: "nginx",
  opentracker: "opentracker",
  procps: "sysctl",
  "python3-libtorrent": "/var/lib/dpkg/info/python3-libtorrent.list",
  "util-linux": "nsenter",
};

/** Installs what is missing when it may; otherwise says what is missing, and tests that need it report themselves skipped. */
export function installPackages(): void {
  const missing = missingOf(PACKAGES);
  if (missing.length === 0) return;
  if (!mayInstall()) {
    console.log(`Missing for some tests (install as root: apt-get install ${missing.join(" ")}). They will be skipped and say so.`);
    return;
  }
  console.log(`Installing Debian packages for the tests: ${missing.join(" ")}`);
  if (!install([...missing, ...COMPANIONS])) console.log("Tests that need the packages will be skipped and say so.");
}

/** Installs what the broadcast benchmark lacks; says on standard error when it could not. */
export const installBroadcastPackages = (): boolean => installFor("the benchmark", BROADCAST_PACKAGES);

/** The rival of the store, and what loads both. */
const STORE_BENCH_PACKAGES: Readonly<Record<string, string>> = {
  "redis-server": "redis-server",
  "redis-tools": "redis-benchmark",
  "util-linux": "taskset",
};

export const installStoreBenchPackages = (): boolean => installFor("the benchmark", STORE_BENCH_PACKAGES);

/** What tests file systems, and what builds a source tree. */
const SUITE_PACKAGES: Readonly<Record<string, string>> = {
  fio: "fio",
  gcc: "gcc",
  "libc6-dev": "/usr/include/stdio.h",
  make: "make",
  python3: "python3",
  "stress-ng": "stress-ng",
};

export const installSuitePackages = (): boolean => installFor("the suites", SUITE_PACKAGES);

function installFor(what: string, packages: Readonly<Record<string, string>>): boolean {
  const missing = missingOf(packages);
  if (missing.length === 0) return true;
  if (mayInstall()) {
    console.error(`Installing Debian packages for ${what}: ${missing.join(" ")}`);
    install(missing);
  }
  const stillMissing = missingOf(packages);
  if (stillMissing.length > 0)
    console.error(`Missing: ${stillMissing.join(" ")} (install as root: apt-get install ${stillMissing.join(" ")})`);
  return stillMissing.length === 0;
}

/** What the tests of the store need: the language of Redis' own suite, and what unpacks its source. */
const REDIS_PACKAGES: Readonly<Record<string, string>> = { "dpkg-dev": "dpkg-source", patch: "patch", tcl: "tclsh", "xz-utils": "xz" };

/** Where Debian has the source; machines mostly look for binaries only. */
const SOURCES = ["bookworm", "bookworm-updates"].map((suite) => `deb-src http://deb.debian.org/debian ${suite} main\n`).join("");

/** Unpacks the source of Redis 7.0 below this directory, once; its path, or undefined where it could not be had. */
export function fetchRedisSource(cache: string): string | undefined {
  const missing = missingOf(REDIS_PACKAGES);
  if (missing.length > 0 && mayInstall()) install(missing);
  const target = join(cache, "redis-7.0");
  if (existsSync(join(target, "tests/test_helper.tcl"))) return target;
  const work = mkdtempSync(join(tmpdir(), "anax-redis-source-"));
  try {
    // Its own lists: this machine's stay as they are.
    mkdirSync(join(work, "lists/partial"), { recursive: true });
    writeFileSync(join(work, "sources.list"), SOURCES);
    const own = [
      "-o",
      `Dir::Etc::sourcelist=${work}/sources.list`,
      "-o",
      "Dir::Etc::sourceparts=-",
      "-o",
      `Dir::State::lists=${work}/lists`,
    ];
    const done =
      apt([...own, "update", "-qq"], work) && apt([...own, "-o", "APT::Sandbox::User=root", "source", "-qq", "redis/bookworm"], work);
    const found = done ? readdirSync(work).find((name) => /^redis-7\.0\.\d+$/.test(name)) : undefined;
    if (found === undefined) return undefined;
    mkdirSync(cache, { recursive: true });
    rmSync(target, { recursive: true, force: true });
    cpSync(join(work, found), target, { recursive: true });
    return target;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const missingOf = (packages: Readonly<Record<string, string>>): readonly string[] =>
  Object.keys(packages).filter((name) => !present(packages[name]!)); // a key of the table

const mayInstall = (): boolean => process.getuid?.() === 0 && present("apt-get");

function install(names: readonly string[]): boolean {
  const release = forbidServiceStart();
  try {
    apt(["update", "-qq"]);
    return apt(["install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", ...names]);
  } finally {
    release();
  }
}

function apt(args: readonly string[], cwd?: string): boolean {
  const done = spawnSync("apt-get", args, {
    ...(cwd !== undefined && { cwd }),
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  if (done.status !== 0)
    console.error(`apt-get ${args.find((arg) => /^(update|install|source)$/.test(arg)) ?? ""} failed (exit ${done.status}).`);
  return done.status === 0;
}

/** Packages must not start their services here: the tests start their own, on free ports. */
function forbidServiceStart(): () => void {
  const policy = "/usr/sbin/policy-rc.d";
  if (existsSync(policy)) return () => undefined;
  writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  return () => rmSync(policy, { force: true });
}

function present(program: string): boolean {
  return program.startsWith("/") ? existsSync(program) : spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;
}
