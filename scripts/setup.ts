import { spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";

/** Debian packages that tests and benchmarks run against, and the program by which each is recognised. */
const PACKAGES: Readonly<Record<string, string>> = {
  "apache2-utils": "htpasswd",
  "busybox-static": "/bin/busybox",
  buildah: "buildah",
  containerd: "containerd",
  curl: "curl",
  "docker.io": "dockerd",
  "docker-registry": "docker-registry",
  fish: "fish",
  iproute2: "ip",
  iptables: "iptables",
  nginx: "nginx",
  podman: "podman",
  runc: "runc",
  skopeo: "skopeo",
  zsh: "zsh",
};

/** Libraries and plugins without a program of their own that come along. */
const COMPANIONS = ["ca-certificates", "netavark", "aardvark-dns", "containernetworking-plugins", "uidmap"];

/** Installs what is missing when it may; otherwise says what is missing, and tests that need it report themselves skipped. */
export function installPackages(): void {
  const missing = Object.keys(PACKAGES).filter((name) => !present(PACKAGES[name]!)); // a key of the table
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0 || !present("apt-get")) {
    console.log(`Missing for some tests (install as root: apt-get install ${missing.join(" ")}). They will be skipped and say so.`);
    return;
  }
  console.log(`Installing Debian packages for the tests: ${missing.join(" ")}`);
  const release = forbidServiceStart();
  try {
    apt(["update", "-qq"]);
    apt(["install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", ...missing, ...COMPANIONS]);
  } finally {
    release();
  }
}

function apt(args: readonly string[]): void {
  const done = spawnSync("apt-get", args, {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  if (done.status !== 0)
    console.log(`apt-get ${args[0]} failed (exit ${done.status}); tests that need the packages will be skipped and say so.`);
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
