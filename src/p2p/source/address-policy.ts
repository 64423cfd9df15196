import dns from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { AnaxError } from "../../base/errors.ts";
import type { SourceConfig } from "./config.ts";
import { contains, networkList } from "./networks.ts";

/** Which addresses a source may be read from. A task's URL is chosen by whoever asks, so it must not reach what only this machine should. */
export interface AddressPolicy {
  /** Throws `source.denied` for a literal address that is refused; names pass, since their addresses are judged when they are resolved. */
  checkHost(hostname: string): void;
  /** Resolves like `dns.lookup` and hides refused addresses. Judging at connect time leaves no gap for a name that changes its address. */
  readonly lookup: LookupFunction;
}

/** Refused unless `allowNetworks` names them. */
const REFUSED = [
  "0.0.0.0/8", // "this host": reaches loopback services on Linux
  "169.254.0.0/16", // link-local, and with it the metadata service of nearly every cloud
  "100.100.100.200", // Alibaba Cloud metadata
  "168.63.129.16", // Azure platform endpoint
  "192.0.0.192", // Oracle Cloud metadata
  "224.0.0.0/4", // multicast
  "240.0.0.0/4", // reserved, broadcast
  "::", // unspecified
  "fe80::/10", // link-local
  "fec0::/10", // site-local, deprecated
  "ff00::/8", // multicast
  "fd00:ec2::254", // AWS metadata
  "fd20:ce::254", // Google Cloud metadata
];

export function createAddressPolicy(
  config: Pick<SourceConfig, "allowNetworks" | "denyNetworks">,
  resolve: typeof dns.lookup = dns.lookup,
): AddressPolicy {
  const allowed = networkList(config.allowNetworks);
  const denied = networkList([...REFUSED, ...config.denyNetworks]);
  const permits = (address: string): boolean => contains(allowed, address) || !contains(denied, address);

  return {
    checkHost(hostname) {
      const address = hostname.replace(/^\[(.*)\]$/, "$1");
      if (isIP(address.replace(/%.*$/, "")) !== 0 && !permits(address)) throw deniedError(hostname, [address]);
    },
    lookup(hostname, options, callback) {
      resolve(hostname, { ...options, all: true }, (error, addresses) => {
        if (error !== null) return callback(error, []);
        const permitted = addresses.filter(({ address }) => permits(address));
        const [first] = permitted;
        if (first === undefined) {
          const refused = addresses.map(({ address }) => address);
          return callback(deniedError(hostname, refused), []);
        }
        if (options.all === true) callback(null, permitted);
        else callback(null, first.address, first.family);
      });
    },
  };
}

const deniedError = (host: string, addresses: readonly string[]): AnaxError =>
  new AnaxError("source.denied", { host, addresses, hint: "p2p.source.allowNetworks can allow it" });
