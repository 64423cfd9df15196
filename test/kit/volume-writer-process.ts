import { openVolume } from "../../src/volume/lifecycle/open-volume.ts";
import { watchVolume } from "../../src/volume/lifecycle/watch-volume.ts";
import { createRandom } from "../../src/base/random.ts";
import { ROOT_INO } from "../../src/volume/meta/verbs.ts";
import { contentOf } from "./volume-content.ts";

// Writes, overwrites, renames and removes files of a volume until it is killed. What `fsync` has confirmed it says on standard output, a line for each.
const [dataDir = "", volume = "", seedText = "1"] = process.argv.slice(2);
const random = createRandom(Number(seedText));
const session = { host: "here", pid: process.pid, mountpoint: "/mnt", readOnly: false };
const watch = await watchVolume({ dataDir, volume, session, onEvent: () => undefined });
const { verbs, files } = await openVolume({ dataDir, volumeUuid: watch.volume.uuid, sessionId: watch.sessionId });

const say = (line: Readonly<Record<string, unknown>>): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

for (let step = 0; ; step++) {
  const name = `f${random.below(20)}`;
  const found = await verbs.lookup(ROOT_INO, name);
  const action = random.below(10);
  if (typeof found === "object" && action === 0) {
    say({ removing: name });
    if ((await verbs.unlink(ROOT_INO, name)) !== 0) throw new Error("unlink");
    await verbs.settle(true);
    say({ removed: name });
    continue;
  }
  const made = typeof found === "object" ? found : await verbs.create(ROOT_INO, name, { kind: "file", permissions: 0o644, uid: 0, gid: 0 });
  if (typeof made === "number") throw new Error(`create: errno ${made}`);
  const seed = Number(seedText) * 100_000 + step;
  const bytes = contentOf(seed, [100, 4000, 9000, 200_000, 5_000_000][random.below(action < 8 ? 4 : 5)]!);
  say({ writing: name });
  const done = [
    await files.open(made.ino),
    typeof (await files.setattr(made.ino, { size: 0 })) === "object" ? 0 : 1,
    await files.write(made.ino, 0, bytes),
    await files.fsync(made.ino),
    await files.close(made.ino),
  ];
  if (done.some((outcome) => outcome !== 0)) throw new Error(`write: ${done.join(" ")}`);
  await verbs.settle(true);
  say({ wrote: name, seed, length: bytes.length });
  await new Promise((resolve) => setImmediate(resolve)); // heartbeats
}
