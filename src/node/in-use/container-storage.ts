import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { systemCodeOf } from "../../base/errors.ts";
import type { Use } from "../../p2p/pieces/in-use.ts";
import { readBounded } from "./bounded-file.ts";
import { MANIFEST_BYTES_MAX, parseManifest } from "./manifest.ts";
import { CONTAINERS_MAX, imageBlobsOf, usesOf, type Look, type UseSource } from "./use-source.ts";

// The layout is that of github.com/containers/storage, which podman, CRI-O and buildah share: per storage driver a directory of
// containers and one of images, each with a JSON list, and per image a directory with its manifests.

const LIST_BYTES_MAX = 64 * 1024 * 1024;
/** Containers that do not survive a restart of the machine have a list of their own. */
const CONTAINER_LISTS = ["containers.json", "volatile-containers.json"] as const;

const Id = z.string().regex(/^[0-9a-f]{64}$/); // it becomes part of a path
const Containers = z.array(z.object({ id: Id, names: z.array(z.string()).nullish(), image: z.string().nullish() })).max(CONTAINERS_MAX);
const Images = z
  .array(
    z.object({
      id: Id,
      digest: z.string().nullish(),
      names: z.array(z.string()).nullish(),
      "big-data-names": z.array(z.string()).nullish(),
    }),
  )
  .max(CONTAINERS_MAX);
type ImageRecord = z.infer<typeof Images>[number];

/** An image may have been pulled with several manifests, say after its layers were compressed anew. */
const MANIFESTS_MAX = 16;
const MANIFEST_NAME = /^manifest(?:-sha256:[0-9a-f]{64})?$/;

export interface StoredImage {
  readonly names: readonly string[];
  readonly digests: ReadonlySet<string>;
  readonly complete: boolean;
}

/** Containers in one storage root. */
export class ContainerStorageSource implements UseSource {
  readonly name: string;
  readonly unknown: readonly Use[];
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
    this.name = `container storage ${root}`;
    this.unknown = imageBlobsOf(this.name);
  }

  async look(): Promise<Look> {
    const drivers = await this.#drivers();
    if (drivers === undefined) return { kind: "absent" };
    const uses: Use[] = [];
    const withoutLayers: string[] = [];
    let count = 0;
    for (const driver of drivers) {
      const containers = await containersOf(join(this.#root, `${driver}-containers`));
      const images = await imagesOf(join(this.#root, `${driver}-images`), new Set(containers.map(({ image }) => image)));
      count += containers.length;
      for (const { id, names, image } of containers) {
        const found = images.get(image ?? "");
        const by = `${names?.[0] ?? id} (${found?.names[0] ?? (image || "no image")})`;
        uses.push(...usesOf(by, found?.digests ?? []));
        if (image && found?.complete !== true) withoutLayers.push(by);
      }
    }
    return { kind: "seen", uses, containers: count, withoutLayers };
  }

  async #drivers(): Promise<readonly string[] | undefined> {
    try {
      return await driversIn(this.#root);
    } catch (thrown) {
      if (systemCodeOf(thrown) === "ENOENT") return undefined; // made with the first image
      throw thrown;
    }
  }
}

/** Those of the images with these ids that are in a storage root. Throws when it cannot be read. */
export async function storedImages(root: string, ids: ReadonlySet<unknown>): Promise<ReadonlyMap<string, StoredImage>> {
  const all = new Map<string, StoredImage>();
  for (const driver of await driversIn(root))
    for (const [id, image] of await imagesOf(join(root, `${driver}-images`), ids)) all.set(id, image);
  return all;
}

async function driversIn(root: string): Promise<readonly string[]> {
  const names = await readdir(root);
  return names.flatMap((name) => /^(?<driver>[a-z]+)-containers$/.exec(name)?.groups?.["driver"] ?? []);
}

async function containersOf(dir: string): Promise<z.infer<typeof Containers>> {
  const lists = await Promise.all(CONTAINER_LISTS.map((name) => listIn(join(dir, name))));
  return Containers.parse(lists.flat());
}

async function imagesOf(dir: string, ids: ReadonlySet<unknown>): Promise<ReadonlyMap<string, StoredImage>> {
  const images = new Map<string, StoredImage>();
  for (const record of Images.parse(await listIn(join(dir, "images.json"))))
    if (ids.has(record.id)) images.set(record.id, await imageOf(dir, record));
  return images;
}

async function imageOf(dir: string, { id, digest, names, "big-data-names": parts }: ImageRecord): Promise<StoredImage> {
  const digests = new Set([`sha256:${id}`, ...(digest ? [digest] : [])]);
  let complete = false;
  for (const name of (parts ?? []).filter((part) => MANIFEST_NAME.test(part)).slice(0, MANIFESTS_MAX)) {
    const manifest = parseManifest(await readOrEmpty(join(dir, id, fileNameOf(name)), MANIFEST_BYTES_MAX));
    if (name.includes(":")) digests.add(name.slice("manifest-".length));
    for (const blob of manifest?.blobs ?? []) digests.add(blob);
    complete ||= (manifest?.blobs.length ?? 0) > 0;
  }
  return { names: names ?? [], digests, complete };
}

/** Names that are no plain words are written in base64. */
const fileNameOf = (name: string): string => (name === "manifest" ? name : `=${Buffer.from(name).toString("base64")}`);

async function listIn(path: string): Promise<unknown[]> {
  const bytes = await readOrEmpty(path, LIST_BYTES_MAX);
  const list: unknown = bytes.length === 0 ? [] : JSON.parse(bytes.toString("utf8"));
  return z.array(z.unknown()).nullable().parse(list) ?? []; // Go writes null for an empty list
}

/** What was deleted a moment ago is as if it had never been. */
async function readOrEmpty(path: string, bytesMax: number): Promise<Buffer> {
  try {
    return await readBounded(path, bytesMax);
  } catch (thrown) {
    if (systemCodeOf(thrown) === "ENOENT") return Buffer.alloc(0);
    throw thrown;
  }
}
