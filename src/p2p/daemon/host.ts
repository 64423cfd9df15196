import { hostname, networkInterfaces, release } from "node:os";
import { AnaxError } from "../../base/errors.ts";
import type { Host as WireHost } from "../../wire/grpc/gen/common/v2/common.ts";
import { hostIdOf, type HostId } from "../model/ids.ts";
import { OWN_VERSION_PREFIX } from "./api.ts";
import type { DaemonConfig } from "./config.ts";
import type { HostStats, HostLoad } from "./host-stats.ts";

/** What this machine is and how it does. */
export interface HostFacts {
  readonly id: HostId;
  readonly ip: string;
  readonly hostname: string;
  readonly seed: boolean;
  /** As schedulers and peers see it; the load in it is the last that was measured. */
  message(): WireHost;
  /** Pieces being served. */
  uploads(): { readonly uploadsInFlight: number; readonly uploadSlots: number };
}

/** Ports are known once somebody listens. */
export interface HostPorts {
  readonly uploadPort: number;
  readonly transferPort: number;
  readonly proxyPort?: number | undefined;
}

/** Host types of the API: a normal peer, and the kind of seed that everybody may ask. */
const NORMAL = 0;
const SUPER_SEED = 1;

export function createHost(options: {
  readonly config: Pick<DaemonConfig, "hostname" | "advertiseIp" | "location" | "idc" | "seed" | "share">;
  readonly version: string;
  readonly stats: HostStats;
  readonly ports: () => HostPorts;
  readonly uploads: HostFacts["uploads"];
}): HostFacts {
  const { config, version, stats, ports, uploads } = options;
  const named = { ip: config.advertiseIp ?? firstAddress(), hostname: config.hostname ?? hostname(), seed: config.seed };
  const id = hostIdOf(named);
  return {
    ...named,
    id,
    uploads,
    message() {
      const { uploadPort, transferPort, proxyPort } = ports();
      return {
        id,
        type: config.seed ? SUPER_SEED : NORMAL,
        hostname: named.hostname,
        ip: named.ip,
        port: uploadPort,
        downloadPort: transferPort,
        ...SYSTEM,
        ...loadOf(stats.load, config),
        build: { gitVersion: `${OWN_VERSION_PREFIX}${version}`, platform: `${process.platform}/${process.arch}` },
        schedulerClusterId: 0,
        disableShared: !config.share,
        proxyPort: proxyPort ?? 0,
        name: "",
      };
    },
  };
}

const SYSTEM = {
  os: process.platform,
  platform: process.platform,
  platformFamily: process.platform,
  platformVersion: release(),
  kernelVersion: release(),
};

function loadOf(load: HostLoad, config: Pick<DaemonConfig, "location" | "idc">): Pick<WireHost, "cpu" | "memory" | "network" | "disk"> {
  return { ...load, network: { ...load.network, location: config.location || undefined, idc: config.idc || undefined } };
}

/** The first address that others may reach; an IPv4 one is preferred, as everything upstream is. */
function firstAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const outside = all.filter(({ internal, address }) => !internal && !address.startsWith("fe80:"));
  return (outside.find(({ family }) => family === "IPv4") ?? outside[0])?.address ?? "127.0.0.1";
}

/** Throws `config.invalid` when ports are asked for before anybody listens. */
export function portsOnce(): { readonly get: () => HostPorts; readonly set: (ports: HostPorts) => void } {
  let known: HostPorts | undefined;
  return {
    get: () => {
      if (known === undefined) throw new AnaxError("internal", { reason: "ports are not known yet" });
      return known;
    },
    set: (ports) => void (known = ports),
  };
}
