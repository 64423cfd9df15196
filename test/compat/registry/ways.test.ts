import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { REGISTRY, startContainerd, writeRegistriesConf } from "../../kit/container-engines.ts";
import { digestOfFile } from "../../kit/image.ts";
import { listens, must, run, start, type Background } from "../../kit/process.ts";
import { labMissing, LOGIN, PRIVATE_REGISTRY, REPOSITORY, startLab, type Lab, type LabDaemon } from "./lab.ts";

const MIB = 1024 * 1024;
const REFERENCE = `${REGISTRY}/${REPOSITORY}:1`;
/** Debian's own, whatever else of that name is on the path. */
const DOCKER = "/usr/bin/docker";
const skipOf = (...programs: readonly string[]): string | false => labMissing(programs) ?? false;

suite("every further way to the mirror and through the proxy", { skip: skipOf() }, () => {
  let lab: Lab;
  let daemon: LabDaemon;
  before(async () => {
    lab = await startLab({ daemons: 1, imageBytes: 24 * MIB, layers: 3 });
    daemon = lab.daemons[0]!; // one was asked for
  });
  after(() => lab[Symbol.asyncDispose]());

  const folder = async (name: string): Promise<string> => {
    const dir = join(lab.dir, name);
    await mkdir(dir, { recursive: true });
    return dir;
  };
  test("curl by http_proxy, whole and in ranges", { skip: skipOf("curl") }, async () => {
    const dir = await folder("curl");
    const [, digest = ""] = lab.image.layerDigests;
    const url = `http://${REGISTRY}/v2/${REPOSITORY}/blobs/${digest}`;
    const env = { http_proxy: `http://${daemon.proxy}` };
    await must("curl", ["-sS", "-f", "-o", join(dir, "blob"), "-D", join(dir, "head"), url], { env });
    assert.equal(await digestOfFile(join(dir, "blob")), digest);
    assert.match(await readFile(join(dir, "head"), "utf8"), new RegExp(`x-dragonfly-task-id: ${digest.slice(7)}`, "i"));
    await must("curl", ["-sS", "-f", "-r", "100-299", "-o", join(dir, "part"), "-D", join(dir, "head"), url], { env });
    assert.match(await readFile(join(dir, "head"), "utf8"), /^HTTP\/1\.1 206 /);
    const [whole, part] = await Promise.all([readFile(join(dir, "blob")), readFile(join(dir, "part"))]);
    assert.equal(sha256(part), sha256(whole.subarray(100, 300)));
  });

  test("curl with the registry in a header", { skip: skipOf("curl") }, async () => {
    const url = `http://${daemon.proxy}/v2/${REPOSITORY}/manifests/1`;
    const args = [
      "-sS",
      "-f",
      "-H",
      `X-Dragonfly-Registry: http://${REGISTRY}`,
      "-H",
      "Accept: application/vnd.oci.image.manifest.v1+json",
      url,
    ];
    assert.equal(`sha256:${sha256(Buffer.from(await must("curl", args)))}`, lab.image.manifestDigest);
  });

  test("skopeo by HTTPS proxy, with our authority's certificate", async () => {
    const dir = await folder("skopeo-proxy");
    const env = { HTTPS_PROXY: `http://${daemon.proxy}`, SSL_CERT_FILE: daemon.caCertPath };
    const to = `oci:${join(dir, "out")}:1`;
    await must("skopeo", ["--registries-conf", "/dev/null", "--insecure-policy", "copy", "-q", `docker://${REFERENCE}`, to], { env });
    assert.equal(await copied(join(dir, "out")), lab.image.manifestDigest);
  });

  test("skopeo pushes through the mirror, and what it pushed can be pulled", async () => {
    const dir = await folder("push");
    const to = `docker://${daemon.mirror}/${REPOSITORY}:pushed`;
    await must("skopeo", ["--insecure-policy", "copy", "-q", "--dest-tls-verify=false", `oci:${join(lab.dir, "image")}:1`, to]);
    const from = `docker://${daemon.mirror}/${REPOSITORY}:pushed`;
    await must("skopeo", ["--insecure-policy", "copy", "-q", "--src-tls-verify=false", from, `oci:${join(dir, "out")}:1`]);
    assert.equal(await copied(join(dir, "out")), lab.image.manifestDigest);
  });

  test("private content needs the registry's password although it is here", async () => {
    const dir = await folder("private");
    const conf = await writeRegistriesConf(join(dir, "registries.conf"), daemon.privateMirror, PRIVATE_REGISTRY);
    const from = `docker://${PRIVATE_REGISTRY}/${REPOSITORY}:1`;
    const copy = async (name: string, login?: string) => {
      // containers-image sends a mirror only the credentials that are stored for the mirror's own address
      const auths = login === undefined ? {} : { [daemon.privateMirror]: { auth: Buffer.from(login).toString("base64") } };
      const authFile = join(dir, `${name}.json`);
      await writeFile(authFile, JSON.stringify({ auths }));
      const to = `oci:${join(dir, name)}:1`;
      return run("skopeo", ["--registries-conf", conf, "--insecure-policy", "copy", "-q", "--authfile", authFile, from, to]);
    };
    const ours = await copy("ours", LOGIN);
    assert.equal(ours.code, 0, ours.stderr);
    assert.equal(await copied(join(dir, "ours")), lab.image.manifestDigest);
    for (const login of [undefined, "lab:wrong"]) {
      const theirs = await copy("theirs", login);
      assert.notEqual(theirs.code, 0);
      assert.match(theirs.stderr, /unauthorized|authentication required/i);
    }
  });

  test("buildah makes a container from it", { skip: skipOf("buildah") }, async () => {
    const dir = await folder("buildah");
    await writeFile(join(dir, "policy.json"), JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }));
    const env = { CONTAINERS_REGISTRIES_CONF: await writeRegistriesConf(join(dir, "registries.conf"), daemon.mirror) };
    const common = ["--root", join(dir, "root"), "--runroot", join(dir, "run"), "--storage-driver", "vfs"];
    await must("buildah", [...common, "from", "--signature-policy", join(dir, "policy.json"), "--name", "one", REFERENCE], { env });
    const inspected = JSON.parse(await must("buildah", [...common, "inspect", "one"], { env })) as { FromImageDigest: string };
    assert.equal(inspected.FromImageDigest, lab.image.manifestDigest);
    await must("buildah", [...common, "rm", "one"], { env });
  });

  test(
    "dockerd pulls from docker.io by registry-mirrors and from elsewhere by its HTTPS proxy",
    { skip: skipOf("dockerd", "containerd", DOCKER) },
    async (t) => {
      const dir = await folder("docker");
      await using containerd = await startContainerd(dir, { mirror: daemon.proxy, sandboxImage: REFERENCE });
      const socket = join(dir, "docker.sock");
      await using dockerd = await startDockerd(dir, { socket, containerd: containerd.socket, daemon });
      const docker = (...args: readonly string[]) => must(DOCKER, ["-H", `unix://${socket}`, ...args], { env: { DOCKER_CONFIG: dir } });
      for (const reference of [`${REPOSITORY}:1`, REFERENCE]) {
        await docker("pull", "-q", reference);
        assert.equal(
          (await docker("image", "inspect", "--format", "{{.Id}}", reference)).trim(),
          lab.image.configDigest,
          dockerd.output().slice(-2000),
        );
        await docker("image", "rm", reference);
      }
      t.diagnostic((await docker("version", "--format", "dockerd {{.Server.Version}}")).trim());
    },
  );

  test("the registry has read each blob once, every way together", () => {
    for (const digest of [lab.image.configDigest, ...lab.image.layerDigests]) assert.equal(lab.blobReads().get(digest), 1, digest);
  });
});

async function copied(dir: string): Promise<string | undefined> {
  const index = JSON.parse(await readFile(join(dir, "index.json"), "utf8")) as { manifests: { digest: string }[] };
  return index.manifests[0]?.digest;
}

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

async function startDockerd(
  dir: string,
  parts: { readonly socket: string; readonly containerd: string; readonly daemon: LabDaemon },
): Promise<Background> {
  const { socket, containerd, daemon } = parts;
  const config = join(dir, "daemon.json");
  const settings = {
    "data-root": join(dir, "docker"),
    "exec-root": join(dir, "docker-exec"),
    pidfile: join(dir, "docker.pid"),
    "storage-driver": "vfs",
    bridge: "none",
    iptables: false,
    ip6tables: false,
    "registry-mirrors": [`http://${daemon.proxy}`],
  };
  await writeFile(config, JSON.stringify(settings));
  const args = ["-H", `unix://${socket}`, "--containerd", containerd, "--config-file", config];
  const env = { HTTPS_PROXY: `http://${daemon.proxy}`, SSL_CERT_FILE: daemon.caCertPath };
  return start("dockerd", args, { env, logFile: join(dir, "dockerd.log"), ready: () => listens(socket) });
}
