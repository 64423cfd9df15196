import { Lru } from "./lru.ts";

/** An image manifest or index, its bytes checked against the digest that names it. */
export interface Manifest {
  /** Registry that gave it; another's permission does not open it. */
  readonly origin: string;
  readonly digest: string;
  readonly contentType: string;
  readonly body: Buffer;
}

/** Tags remembered: only a hint that asking for the head pays, so a lost one costs nothing. */
const TAGS_MAX = 10_000;

/** Manifests by digest, and what tags named when last seen. Nothing in it is served before the origin has agreed to it. */
export class ManifestCache {
  readonly #manifests: Lru<string, Manifest>;
  readonly #tags = new Lru<string, string>(TAGS_MAX);

  constructor(bytesMax: number) {
    this.#manifests = new Lru(bytesMax);
  }

  get(origin: string, digest: string): Manifest | undefined {
    return this.#manifests.get(`${origin} ${digest}`);
  }

  put(manifest: Manifest): void {
    this.#manifests.set(`${manifest.origin} ${manifest.digest}`, manifest, manifest.body.length + ENTRY_BYTES);
  }

  /** The digest that a tag, or another name of a manifest, had. */
  tagged(name: string): string | undefined {
    return this.#tags.get(name);
  }

  tag(name: string, digest: string): void {
    this.#tags.set(name, digest);
  }
}

/** What an entry costs besides its body, roughly. */
const ENTRY_BYTES = 512;
