import { z } from "zod";

/** A manifest has a few kilobytes; registries and runtimes refuse larger ones. */
export const MANIFEST_BYTES_MAX = 4 * 1024 * 1024;
/** Layers of an image, or manifests of an index. */
const ENTRIES_MAX = 4096;

const DIGEST = /^sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})$/;

export const isDigest = (text: string): boolean => DIGEST.test(text);

const Descriptor = z.object({ digest: z.string().regex(DIGEST) });
const Manifest = z.object({
  config: Descriptor.optional(),
  layers: z.array(Descriptor).max(ENTRIES_MAX).default([]),
  manifests: z.array(Descriptor).max(ENTRIES_MAX).default([]),
});

/** What a manifest or an index names (OCI image specification 1.1, Docker's second schema). */
export interface ManifestContent {
  /** Configuration and layers. */
  readonly blobs: readonly string[];
  /** Further manifests, one for each platform. */
  readonly manifests: readonly string[];
}

/** Undefined when it is something else. */
export function parseManifest(bytes: Uint8Array): ManifestContent | undefined {
  try {
    const { config, layers, manifests } = Manifest.parse(JSON.parse(Buffer.from(bytes).toString("utf8")));
    const blobs = [...(config === undefined ? [] : [config]), ...layers].map(({ digest }) => digest);
    return { blobs, manifests: manifests.map(({ digest }) => digest) };
  } catch {
    return undefined;
  }
}
