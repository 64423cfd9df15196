import { z } from "zod";
import { duration } from "../../base/quantity.ts";

const places = (fallback: readonly string[]) =>
  z
    .array(z.string().startsWith("/", "expected an absolute path").max(4096))
    .max(32)
    .default([...fallback]);

/** Where the engines of distributions have them: places where nothing is are passed over there, and only there. */
export const USUAL_PLACES = {
  containerd: ["/run/containerd/containerd.sock"],
  cri: ["/run/containerd/containerd.sock", "/run/crio/crio.sock"],
  containerStorage: ["/var/lib/containers/storage"],
} as const;

export const InUseConfig = z.strictObject({
  containerd: places(USUAL_PLACES.containerd).describe(
    "Sockets of containerd: content of images that its containers have, in any namespace, is not collected. None: it is not asked.",
  ),
  cri: places(USUAL_PLACES.cri).describe("Sockets on which the Container Runtime Interface is asked likewise."),
  containerStorage: places(USUAL_PLACES.containerStorage).describe(
    "Storage of podman, CRI-O and buildah (`podman info`: graphRoot): content of images that their containers have is not collected.",
  ),
  mounts: z.boolean().default(true).describe("Do not collect content that is mounted on this machine, by itself or as a loop device."),
  timeoutMs: duration({ min: "10ms", max: "1m" }).prefault("2s").describe("Time for each of these to answer; a collection waits for them."),
  retryMs: duration({ min: "0ms", max: "1h" }).prefault("30s").describe("How long one that did not answer is not asked again."),
  unknownKeepMs: duration({ min: "0ms", max: "30d" })
    .prefault("1h")
    .describe("How long no image's content is collected while one of these has not answered even once."),
});
export type InUseConfig = z.infer<typeof InUseConfig>;
