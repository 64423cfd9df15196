import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { listens, must, run, start, waitFor, type Ended } from "./process.ts";

/** A name that nothing resolves: a pull that works has come through the mirror. */
export const REGISTRY = "registry.test";

/** How podman, buildah and skopeo are told of a mirror; they try it first and fall back to a registry that does not exist. */
export async function writeRegistriesConf(path: string, mirror: string, registry = REGISTRY): Promise<string> {
  await writeFile(path, `[[registry]]\nlocation = "${registry}"\n[[registry.mirror]]\nlocation = "${mirror}"\ninsecure = true\n`);
  return path;
}

/** Runs a containerd of its own, for which `mirror` stands for the registry; resolves with its socket once it answers. */
export async function startContainerd(
  dir: string,
  options: { readonly mirror: string; readonly sandboxImage: string },
): Promise<AsyncDisposable & { readonly socket: string; readonly hostsDir: string }> {
  const hostsDir = join(dir, "certs.d");
  const socket = join(dir, "containerd.sock");
  await mkdir(join(hostsDir, REGISTRY), { recursive: true });
  await writeFile(
    join(hostsDir, REGISTRY, "hosts.toml"),
    `server = "https://${REGISTRY}"\n[host."http://${options.mirror}"]\n  capabilities = ["pull", "resolve"]\n`,
  );
  const config = join(dir, "config.toml");
  await writeFile(config, containerdConfig({ dir, socket, hostsDir, sandboxImage: options.sandboxImage }));
  const background = await start("containerd", ["--config", config], { logFile: join(dir, "log"), ready: () => listens(socket) });
  await waitFor(async () => /containerd successfully booted/.test(background.output()));
  return { socket, hostsDir, [Symbol.asyncDispose]: () => background[Symbol.asyncDispose]() };
}

/** `oom_score` and `restrict_oom_score_adj`: machines without CAP_SYS_RESOURCE may not lower the score. */
const containerdConfig = (has: {
  readonly dir: string;
  readonly socket: string;
  readonly hostsDir: string;
  readonly sandboxImage: string;
}): string => `version = 2
root = "${join(has.dir, "root")}"
state = "${join(has.dir, "state")}"
oom_score = 0
[grpc]
  address = "${has.socket}"
[ttrpc]
  address = "${has.socket}.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "${has.sandboxImage}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "${has.hostsDir}"
`;

export interface Podman {
  /** Where its images and containers are. */
  readonly root: string;
  must(args: readonly string[]): Promise<string>;
  run(args: readonly string[]): Promise<Ended>;
}

/** Podman with storage and settings of its own. Limits must not exceed those of this machine, and crun refuses hybrid cgroup trees. */
export async function podmanIn(dir: string, mirror: string): Promise<Podman> {
  const policy = join(dir, "policy.json");
  await writeFile(policy, JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }));
  const conf = join(dir, "containers.conf");
  await writeFile(
    conf,
    `[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\n`,
  );
  const env = { CONTAINERS_REGISTRIES_CONF: await writeRegistriesConf(join(dir, "registries.conf"), mirror), CONTAINERS_CONF: conf };
  const root = join(dir, "root");
  const common = ["--root", root, "--runroot", join(dir, "run"), "--tmpdir", join(dir, "tmp"), "--storage-driver", "vfs"];
  const argsOf = ([verb = "", ...args]: readonly string[]): string[] => [
    ...common,
    verb,
    ...(verb === "pull" ? ["--signature-policy", policy] : []),
    ...args,
  ];
  return { root, must: (args) => must("podman", argsOf(args), { env }), run: (args) => run("podman", argsOf(args), { env }) };
}
