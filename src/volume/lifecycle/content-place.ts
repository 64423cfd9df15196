import { isoText, type Clock } from "../../base/clock.ts";
import { eachLimited } from "../../base/each-limited.ts";
import { AnaxError } from "../../base/errors.ts";
import type { RemoteBlobs } from "../data/staged/remote-blobs.ts";
import { shareBlobs } from "../data/share-blobs.ts";
import { placeText } from "../data/volume-data.ts";
import type { Blob } from "../meta/extents.ts";
import { liveBlobs } from "../meta/sqlite/clone.ts";
import { openRemoteBlobs } from "./open-blobs.ts";
import { MetaPlace } from "./open-meta.ts";
import { volumePaths } from "./volume-paths.ts";
import type { VolumeRecord } from "./volume-record.ts";

type Place = Pick<VolumeRecord, "uuid" | "data">;

const AT_ONCE = 16;
const BATCH = 1000;

/** Where a volume's content lies when it comes, goes, or is shared: the same for a directory and for a bucket. All throw `volume.unreachable` where that does not answer. */
export class ContentPlace {
  readonly #dataDir: string;
  readonly #clock: Clock;

  constructor(dataDir: string, clock: Clock) {
    this.#dataDir = dataDir;
    this.#clock = clock;
  }

  /** Says in a bucket whose place this is, which also shows that one may write there. */
  async claim({ uuid, data, name }: Place & Pick<VolumeRecord, "name">): Promise<void> {
    await this.#remote({ uuid, data }, (blobs) =>
      blobs.remote.mark(`${JSON.stringify({ volume: uuid, name, createdAt: isoText(this.#clock.wallMs()) })}\n`),
    );
  }

  /** Whether a bucket is there, and lets this process in. */
  async reach({ uuid, data }: Place): Promise<void> {
    await this.#remote({ uuid, data }, async (blobs) => {
      if (await blobs.remote.isMarked()) return;
      throw new AnaxError("volume.unreachable", { volume: uuid, data: placeText(data), reason: "nothing says that the volume is there" });
    });
  }

  /** Gives a volume whose metadata are there the blobs that those name. Throws `volume.changed` when one is gone meanwhile. */
  async share(from: Place, to: Place): Promise<{ readonly blobs: number; readonly bytes: number }> {
    const paths = volumePaths(this.#dataDir, to.uuid);
    const { signal } = new AbortController();
    const { data } = from;
    if (data.kind === "directory")
      return shareBlobs(volumePaths(this.#dataDir, from.uuid).blobs, paths.blobs, liveBlobs(paths.meta), signal);
    const done = { blobs: 0, bytes: 0 };
    await this.#remote(from, (source) =>
      this.#remote(to, (target) =>
        eachBatch(liveBlobs(paths.meta), (batch) =>
          eachLimited(batch, { atOnce: AT_ONCE, signal }, async (blob) => {
            const copy = (): Promise<boolean> => target.remote.share(blob, { data, volumeUuid: from.uuid });
            const copied = (await copy()) || ((await source.upload(blob)) && (await copy()));
            if (!copied) throw new AnaxError("volume.changed", { blob: blob.id });
            done.blobs++;
            done.bytes += blob.bytes;
          }),
        ),
      ),
    );
    return done;
  }

  /** Removes from a bucket what the ledger names; nothing of what lies in this machine's directory. A repetition goes on where one was ended. */
  async remove(volume: Place): Promise<void> {
    const place = MetaPlace.of(this.#dataDir, volume.uuid);
    if (volume.data.kind === "directory" || !place.isThere) return;
    const { signal } = new AbortController();
    await using ledger = await place.ledger(this.#clock);
    await this.#remote(volume, async (blobs) => {
      for (let after = 0; ;) {
        const batch = await ledger.entered(after, BATCH);
        if (batch.length === 0) break;
        await eachLimited(batch, { atOnce: AT_ONCE, signal }, (blob) => blobs.remove(blob));
        after = batch.at(-1)!.id; // not empty
      }
      await blobs.remote.unmark();
    });
  }

  async #remote({ uuid, data }: Place, use: (blobs: RemoteBlobs) => Promise<void>): Promise<void> {
    if (data.kind === "directory") return;
    await using blobs = await openRemoteBlobs(this.#dataDir, { uuid, data }, this.#clock);
    await use(blobs);
  }
}

async function eachBatch(blobs: Iterable<Blob>, work: (batch: readonly Blob[]) => Promise<void>): Promise<void> {
  let batch: Blob[] = [];
  for (const blob of blobs) {
    batch.push(blob);
    if (batch.length < BATCH) continue;
    await work(batch);
    batch = [];
  }
  await work(batch);
}
