import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runAnax } from "../kit/anax.ts";
import { aDesk, errorCodeOf } from "../kit/cli.ts";
import { sha256OfGenerated } from "../kit/generated-content.ts";

const [IMAGE, CONTAINER] = ["1", "c"].map((digit) => digit.repeat(64)) as [string, string];

/** A storage as podman has it, with one container whose image has this layer. */
async function aStorage(layer: string): Promise<AsyncDisposable & { readonly root: string; removeContainer(): Promise<void> }> {
  const root = await mkdtemp(join(tmpdir(), "anax-storage-"));
  const [containers, image] = [join(root, "overlay-containers"), join(root, "overlay-images", IMAGE)];
  for (const dir of [containers, image]) await mkdir(dir, { recursive: true });
  const list = (all: readonly unknown[]) => writeFile(join(containers, "containers.json"), JSON.stringify(all));
  await list([{ id: CONTAINER, names: ["web\u001b[2J"], image: IMAGE }]);
  const images = [{ id: IMAGE, names: ["registry.test/app:1"], "big-data-names": ["manifest"] }];
  await writeFile(join(root, "overlay-images/images.json"), JSON.stringify(images));
  await writeFile(join(image, "manifest"), JSON.stringify({ config: { digest: `sha256:${IMAGE}` }, layers: [{ digest: layer }] }));
  return { root, removeContainer: () => list([]), [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }) };
}

test("content that a container has is named in gc and ls, refused by rm, and goes with the container; doctor counts the containers", async () => {
  const content = { "/layer": { bytes: 300_000, seed: 1 }, "/other": { bytes: 300_000, seed: 2 } };
  const digest = `sha256:${sha256OfGenerated(content["/layer"])}`;
  await using storage = await aStorage(digest);
  const set = { "p2p.inUse.containerStorage": JSON.stringify([storage.root]), "p2p.inUse.containerd": "[]", "p2p.inUse.cri": "[]" };
  await using desk = await aDesk({ content, set });
  for (const [path, ...args] of [["/layer", "--digest", digest], ["/other"]] as const)
    assert.equal((await desk.get(path, path.slice(1), ...args)).code, 0);
  await rm(desk.out, { recursive: true }); // the outputs may be hard links

  const dry = (await desk.run(["gc", "--dry-run", "--free", "1GiB"])).stdout;
  assert.match(dry, /kept +in use: container: web\?\[2J \(registry\.test\/app:1\)/, "and no escape sequence reaches the terminal");
  assert.match((await desk.run(["ls"])).stdout, /container/);
  const refused = await desk.run(["rm", digest]);
  assert.equal(errorCodeOf(refused), "task.in-use");
  assert.match(refused.stderr, /reasons=container.*web/);

  const settings = Object.entries(set).flatMap(([path, value]) => ["--set", `${path}=${value}`]);
  const doctor = await runAnax(["doctor", "--data-dir", desk.daemon.dataDir, ...settings]);
  assert.match(doctor.stdout, new RegExp(`ok +in use +container storage ${storage.root}: 1 container`));

  await desk.run(["gc", "--free", "1GiB"]);
  assert.equal((await desk.run(["ls", "--json"])).stdout.trim().split("\n").length, 1);
  await storage.removeContainer();
  await desk.run(["gc", "--free", "1GiB"]);
  assert.equal((await desk.run(["ls", "--json"])).stdout.trim(), "");
});
