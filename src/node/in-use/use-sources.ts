import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { InUse } from "../../p2p/pieces/in-use.ts";
import { USUAL_PLACES, type InUseConfig } from "./config.ts";
import { ContainerStorageSource } from "./container-storage.ts";
import { ContainerdSource } from "./containerd.ts";
import { CriSource } from "./cri.ts";
import { KnownUses } from "./known-uses.ts";
import { MountSource } from "./mounts.ts";
import type { UseSource } from "./use-source.ts";

/** Everything on this machine that settings say is to be asked. */
export function useSourcesOf(config: InUseConfig, parts: { readonly storeDir: string; readonly clock: Clock }): readonly UseSource[] {
  const { timeoutMs } = config;
  const socket = (path: string, usual: readonly string[]) => ({ path, usual: usual.includes(path), clock: parts.clock, timeoutMs });
  return [
    ...config.containerd.map((path) => new ContainerdSource(socket(path, USUAL_PLACES.containerd))),
    ...config.cri.map((path) => new CriSource(socket(path, USUAL_PLACES.cri), config.containerStorage)),
    ...config.containerStorage.map((root) => new ContainerStorageSource(root)),
    ...(config.mounts ? [new MountSource(parts.storeDir)] : []),
  ];
}

/** What the piece store is to ask before it collects. */
export const inUseOf = (
  config: InUseConfig,
  parts: { readonly storeDir: string; readonly clock: Clock; readonly log: Log },
): readonly InUse[] => useSourcesOf(config, parts).map((source) => new KnownUses({ source, config, clock: parts.clock, log: parts.log }));
