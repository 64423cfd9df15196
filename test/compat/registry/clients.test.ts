import assert from "node:assert/strict";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test, before, after } from "node:test";
import { podmanIn, REGISTRY, startContainerd, writeRegistriesConf } from "../../kit/container-engines.ts";
import { openCri } from "../../kit/cri.ts";
import { digestOfFile } from "../../kit/image.ts";
import { must, run, type Ended } from "../../kit/process.ts";
import { labMissing, REPOSITORY, startLab, type Lab } from "./lab.ts";

const MIB = 1024 * 1024;
const REFERENCE = `${REGISTRY}/${REPOSITORY}:1`;

/** What a kernel or a container around us says when it does not let containers run; anything else is a failure. */
const REFUSED =
  /operation not permitted|permission denied|not supported|cgroup|no such device|unshare|seccomp|read-only file system|mount/i;

suite(
  "unmodified clients pull one image through three daemons",
  { skip: labMissing(["podman", "containerd", "ctr", "runc"]) ?? false },
  () => {
    let lab: Lab;
    before(async () => {
      lab = await startLab({ daemons: 3, imageBytes: 320 * MIB, layers: 3 });
    });
    after(() => lab[Symbol.asyncDispose]());

    test("skopeo copies it, mirror named by a path", async () => {
      const dir = await folder(lab, "skopeo");
      const conf = await writeRegistriesConf(join(dir, "registries.conf"), `${lab.daemons[0]?.proxy}/${REGISTRY}`);
      await must("skopeo", [
        "--registries-conf",
        conf,
        "--insecure-policy",
        "copy",
        "-q",
        `docker://${REFERENCE}`,
        `oci:${join(dir, "out")}:1`,
      ]);
      const index = JSON.parse(await readFile(join(dir, "out/index.json"), "utf8")) as { manifests: { digest: string }[] };
      assert.equal(index.manifests[0]?.digest, lab.image.manifestDigest);
      for (const name of await readdir(join(dir, "out/blobs/sha256"))) {
        assert.equal(await digestOfFile(join(dir, "out/blobs/sha256", name)), `sha256:${name}`);
      }
    });

    test("podman pulls it, mirror with a port of its own, and runs it", async (t) => {
      const dir = await folder(lab, "podman");
      const podman = await podmanIn(dir, lab.daemons[1]?.mirror ?? "");
      await podman.must(["pull", "-q", REFERENCE]);
      assert.equal((await podman.must(["image", "inspect", "--format", "{{.Digest}}", REFERENCE])).trim(), lab.image.manifestDigest);
      const ran = await podman.run(["run", "--rm", "--network=host", REFERENCE]);
      assertRan(t, ran);
    });

    test("containerd pulls it by ctr, which names the registry in the query, and runs it", async (t) => {
      const dir = await folder(lab, "containerd");
      await using containerd = await startContainerd(dir, { mirror: lab.daemons[2]?.proxy ?? "", sandboxImage: REFERENCE });
      const ctr = (...args: readonly string[]): Promise<Ended> => run("ctr", ["--address", containerd.socket, ...args]);
      const pulled = await ctr("images", "pull", "--snapshotter", "native", "--hosts-dir", containerd.hostsDir, REFERENCE);
      assert.equal(pulled.code, 0, pulled.stdout + pulled.stderr);
      assert.ok((await ctr("images", "ls")).stdout.includes(lab.image.manifestDigest));
      const ran = await ctr("run", "--rm", "--snapshotter", "native", "--net-host", REFERENCE, "one");
      using cri = openCri(containerd.socket);
      assert.match(await cri.version(), /^containerd /);
      assert.equal(await cri.pullImage(REFERENCE), lab.image.configDigest, "by CRI, as a kubelet does it");
      assertRan(t, ran);
    });

    test("the registry has read each blob once, all three pulls together", async () => {
      const bytes = lab.blobBytes();
      const digests = [lab.image.configDigest, ...lab.image.layerDigests];
      assert.deepEqual([...bytes.keys()].toSorted(), digests.toSorted());
      for (const digest of digests) {
        // A request that another one's pieces cut short has sent a little more.
        const copies = bytes.get(digest)! / (await lab.sizeOf(digest)); // it is among them
        assert.ok(copies >= 1 && copies < 1.25, `${copies} copies of ${digest}`);
      }
    });
  },
);

/** The image's script tells that it ran and how much data it found. */
function assertRan(t: { diagnostic(text: string): void }, ran: Ended): void {
  if (ran.code === 0) return assert.match(ran.stdout, /^ran\n\d{7,}\n$/);
  assert.match(ran.stdout + ran.stderr, REFUSED);
  t.diagnostic(`not run, refused here: ${ran.stderr.trim().split("\n").at(-1)}`);
}

async function folder(lab: Lab, name: string): Promise<string> {
  const dir = join(lab.dir, name);
  await mkdir(dir, { recursive: true });
  return dir;
}
