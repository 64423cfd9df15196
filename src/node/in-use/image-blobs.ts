import { parseManifest } from "./manifest.ts";

/** Resolves with the bytes of a manifest; undefined: it is not here. */
export type ReadManifest = (digest: string) => Promise<Uint8Array | undefined>;

export interface ImageBlobs {
  /** The digest asked for included. */
  readonly digests: ReadonlySet<string>;
  /** A manifest was found, and with it the layers. */
  readonly complete: boolean;
}

/** Images of which the blobs are remembered, as a digest never comes to mean something else. */
const IMAGES_MAX = 4096;
/** Manifests of one image, for all its platforms together. */
const MANIFESTS_MAX = 64;

/** Finds out which blobs images have. */
export class ImageBlobsCache {
  readonly #known = new Map<string, ImageBlobs>();

  /** Of the manifest or index of this digest. Of an index count those manifests that are here: others were never pulled. */
  async of(digest: string, read: ReadManifest): Promise<ImageBlobs> {
    const known = this.#known.get(digest);
    if (known !== undefined) return known;
    const found = await blobsOf(digest, read);
    if (!found.complete) return found; // it may come yet
    if (this.#known.size >= IMAGES_MAX) this.#known.clear();
    this.#known.set(digest, found);
    return found;
  }
}

async function blobsOf(root: string, read: ReadManifest): Promise<ImageBlobs> {
  const digests = new Set([root]);
  let complete = false;
  const waiting = [root];
  for (let count = 0; count < MANIFESTS_MAX; count++) {
    const digest = waiting.shift();
    if (digest === undefined) break;
    const bytes = await read(digest);
    const manifest = bytes && parseManifest(bytes);
    if (manifest === undefined) continue;
    complete ||= manifest.blobs.length > 0;
    digests.add(digest);
    for (const blob of manifest.blobs) digests.add(blob);
    waiting.push(...manifest.manifests.slice(0, MANIFESTS_MAX));
  }
  return { digests, complete };
}
