import { AnaxError } from "../../base/errors.ts";
import type { Use } from "../../p2p/pieces/in-use.ts";
import { ImageServiceService, RuntimeServiceService, type Container } from "../../wire/grpc/gen/runtime/v1/cri.ts";
import type { SocketChannel } from "../../wire/grpc/socket-channel.ts";
import { storedImages, type StoredImage } from "./container-storage.ts";
import { containerName } from "./containerd.ts";
import { ImageBlobsCache } from "./image-blobs.ts";
import { isDigest } from "./manifest.ts";
import { isOf, openRuntime, readContent, type SocketPlace } from "./runtime-socket.ts";
import { CONTAINERS_MAX, imageBlobsOf, usesOf, type Look, type UseSource } from "./use-source.ts";

/** Where containerd's part for kubelets keeps what is theirs. */
const NAMESPACE = "k8s.io";

interface Call {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

interface Found {
  readonly digests: ReadonlySet<string>;
  readonly complete: boolean;
}

/**
 * Containers as a kubelet sees them. It tells exactly which image each has, but of the image no more than the digests of its manifest and its
 * configuration: for the layers its own runtime is asked, or its storage.
 */
export class CriSource implements UseSource {
  readonly name: string;
  readonly unknown: readonly Use[];
  readonly #place: SocketPlace;
  readonly #storage: readonly string[];
  readonly #blobs = new ImageBlobsCache();
  /** By the reference of the image, which never comes to mean another. */
  #known = new Map<string, Found>();

  /** `storage` are the roots in which CRI-O may have its images. */
  constructor(place: SocketPlace, storage: readonly string[]) {
    this.#place = place;
    this.#storage = storage;
    this.name = `CRI ${place.path}`;
    this.unknown = imageBlobsOf(this.name);
  }

  async look(signal: AbortSignal): Promise<Look> {
    using channel = await openRuntime(this.#place);
    if (channel === undefined) return { kind: "absent" };
    const call = { signal, timeoutMs: this.#place.timeoutMs };
    const containers = await this.#list(channel, call);
    if (containers === undefined) return { kind: "absent" };
    const images = new Map<string, Found>();
    for (const ref of new Set(containers.map(({ imageRef }) => imageRef))) {
      const before = this.#known.get(ref);
      images.set(ref, before?.complete === true ? before : await this.#find(channel, ref, call));
    }
    this.#known = images;
    const withoutLayers = containers.filter(({ imageRef }) => images.get(imageRef)?.complete !== true).map(nameOf);
    const uses = containers.flatMap((container) => usesOf(nameOf(container), images.get(container.imageRef)?.digests ?? []));
    return { kind: "seen", containers: containers.length, uses, withoutLayers };
  }

  /** Undefined: who listens there is no runtime for kubelets, which containerd can be told. */
  async #list(channel: SocketChannel, call: Call) {
    try {
      const { containers } = await channel.unary(RuntimeServiceService.listContainers, {}, call);
      if (containers.length > CONTAINERS_MAX) throw new AnaxError("limit.exceeded", { containersMax: CONTAINERS_MAX });
      return containers;
    } catch (thrown) {
      if (this.#place.usual && isOf(thrown, "rpc.unimplemented")) return undefined;
      throw thrown;
    }
  }

  async #find(channel: SocketChannel, imageRef: string, call: Call): Promise<Found> {
    const { image } = await channel.unary(ImageServiceService.imageStatus, { image: { image: imageRef } }, call);
    const id = (image?.id ?? imageRef).replace(/^sha256:/, ""); // CRI-O leaves the algorithm out
    const digests = new Set([`sha256:${id}`]);
    let complete = false;
    for (const manifest of (image?.repoDigests ?? []).map((name) => name.slice(name.lastIndexOf("@") + 1)).filter(isDigest)) {
      const found = await this.#blobs.of(manifest, (digest) => readContent(channel, digest, { ...call, namespace: NAMESPACE }));
      complete ||= found.complete;
      for (const digest of found.digests) digests.add(digest);
    }
    if (complete) return { digests, complete };
    const stored = await this.#stored(id);
    return stored === undefined ? { digests, complete } : { digests: new Set([...digests, ...stored.digests]), complete: stored.complete };
  }

  async #stored(id: string): Promise<StoredImage | undefined> {
    for (const root of this.#storage) {
      const images = await storedImages(root, new Set([id])).catch(() => undefined); // that it cannot be read, its own source says
      const image = images?.get(id);
      if (image !== undefined) return image;
    }
    return undefined;
  }
}

function nameOf({ id, labels, metadata, image, imageRef }: Container): string {
  const named = containerName(labels) ?? (metadata?.name || id);
  return `${named} (${image?.image || imageRef})`;
}
