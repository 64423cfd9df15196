import type { Use } from "../../p2p/pieces/in-use.ts";

/** One place on this machine that knows who uses content. */
export interface UseSource {
  /** For a person: what and where. */
  readonly name: string;
  /** What is kept while it has never answered. */
  readonly unknown: readonly Use[];
  /** Asks it. Throws why it cannot be asked. */
  look(signal: AbortSignal): Promise<Look>;
}

export type Look =
  | { readonly kind: "seen"; readonly uses: readonly Use[]; readonly containers: number; readonly withoutLayers: readonly string[] }
  /** Nothing of the kind is on this machine. */
  | { readonly kind: "absent" };

/** More than any machine runs; beyond it the place is taken for one that cannot be asked. */
export const CONTAINERS_MAX = 10_000;

export const imageBlobsOf = (name: string): readonly Use[] => [
  { reason: "container", by: `whatever ${name} has, as it does not answer`, content: "image-blobs" },
];

/** One use for each digest. */
export function usesOf(by: string, digests: Iterable<string>): Use[] {
  const name = nameText(by);
  return [...digests].map((digest) => ({ reason: "container", by: name, content: { digest } }));
}

const NAME_MAX = 256;

/** Names are up to whoever made the container or the mount, and are shown on terminals. */
export const nameText = (text: string): string => text.slice(0, NAME_MAX).replaceAll(/\p{Cc}/gu, "?");
