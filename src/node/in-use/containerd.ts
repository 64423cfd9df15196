import { AnaxError } from "../../base/errors.ts";
import type { Use } from "../../p2p/pieces/in-use.ts";
import { ContainersService, type Container } from "../../wire/grpc/gen/containerd/services/containers/v1/containers.ts";
import { ImagesService } from "../../wire/grpc/gen/containerd/services/images/v1/images.ts";
import { NamespacesService } from "../../wire/grpc/gen/containerd/services/namespaces/v1/namespaces.ts";
import type { SocketChannel } from "../../wire/grpc/socket-channel.ts";
import { ImageBlobsCache } from "./image-blobs.ts";
import { inNamespace, isOf, openRuntime, readContent, type SocketPlace } from "./runtime-socket.ts";
import { CONTAINERS_MAX, imageBlobsOf, usesOf, type Look, type UseSource } from "./use-source.ts";

interface Found {
  readonly by: string;
  readonly digests: ReadonlySet<string>;
  readonly complete: boolean;
}

interface Call {
  readonly namespace: string;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

/** Containers of containerd in all namespaces: those of kubelets, of `ctr` and of nerdctl. */
export class ContainerdSource implements UseSource {
  readonly name: string;
  readonly unknown: readonly Use[];
  readonly #place: SocketPlace;
  readonly #blobs = new ImageBlobsCache();
  /** By namespace, container and image: a container keeps the image that it was made of, whatever the name means later. */
  #known = new Map<string, Found>();

  constructor(place: SocketPlace) {
    this.#place = place;
    this.name = `containerd ${place.path}`;
    this.unknown = imageBlobsOf(this.name);
  }

  async look(signal: AbortSignal): Promise<Look> {
    using channel = await openRuntime(this.#place);
    if (channel === undefined) return { kind: "absent" };
    const { timeoutMs } = this.#place;
    const { namespaces } = await channel.unary(NamespacesService.list, {}, { signal, timeoutMs });
    const found = new Map<string, Found>();
    for (const { name } of namespaces) await this.#lookIn(channel, { namespace: name, signal, timeoutMs }, found);
    this.#known = found;
    return {
      kind: "seen",
      containers: found.size,
      uses: [...found.values()].flatMap(({ by, digests }) => usesOf(by, digests)),
      withoutLayers: [...found.values()].filter(({ complete }) => !complete).map(({ by }) => by),
    };
  }

  async #lookIn(channel: SocketChannel, call: Call, found: Map<string, Found>): Promise<void> {
    const headers = inNamespace(call.namespace);
    for await (const { container } of channel.serverStream(ContainersService.listStream, {}, { ...call, headers })) {
      if (container === undefined || container.image === "") continue;
      const key = JSON.stringify([call.namespace, container.id, container.image]);
      const before = this.#known.get(key);
      found.set(key, before?.complete === true ? before : await this.#find(channel, container, call));
      if (found.size > CONTAINERS_MAX) throw new AnaxError("limit.exceeded", { containersMax: CONTAINERS_MAX });
    }
  }

  async #find(channel: SocketChannel, { id, labels, image }: Container, call: Call): Promise<Found> {
    const by = `${containerName(labels) ?? id} (${image})`;
    const digest = await this.#digestOf(channel, image, call);
    if (digest === undefined) return { by, digests: new Set(), complete: false };
    return { by, ...(await this.#blobs.of(digest, (each) => readContent(channel, each, call))) };
  }

  async #digestOf(channel: SocketChannel, name: string, call: Call): Promise<string | undefined> {
    try {
      const { image } = await channel.unary(ImagesService.get, { name }, { ...call, headers: inNamespace(call.namespace) });
      return image?.target?.digest;
    } catch (thrown) {
      if (isOf(thrown, "rpc.not-found")) return undefined;
      throw thrown;
    }
  }
}

/** The name that a kubelet or nerdctl gave it, as people know it. */
export function containerName(labels: Readonly<Record<string, string>>): string | undefined {
  const [pod, container] = [labels["io.kubernetes.pod.name"], labels["io.kubernetes.container.name"]];
  const parts = [pod, container].filter((part) => part !== undefined && part !== "");
  return parts.length === 0 ? labels["nerdctl/name"] : parts.join("/");
}
