import { isIP } from "node:net";

/** Where an origin listens and how its TLS is to be judged. */
export interface Endpoint {
  readonly protocol: "http:" | "https:";
  /** Name or address, lower case, without brackets. */
  readonly hostname: string;
  readonly port: number;
  /** As `Host` has it: brackets around IPv6, no port where it is the scheme's own. */
  readonly authority: string;
  readonly tls?: EndpointTls | undefined;
}

export interface EndpointTls {
  /** PEM certificates to trust besides the system's. */
  readonly ca?: readonly string[] | undefined;
  readonly insecureSkipVerify: boolean;
}

export const defaultPortOf = (protocol: "http:" | "https:"): number => (protocol === "https:" ? 443 : 80);

export const originOf = (endpoint: Endpoint): string => `${endpoint.protocol}//${endpoint.authority}`;

/** `host:port`, brackets around IPv6. */
export const authorityOf = ({ hostname, port }: Pick<Endpoint, "hostname" | "port">): string =>
  `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;

/** The endpoint of an `http:` or `https:` URL. */
export function endpointOf(url: URL, tls?: EndpointTls): Endpoint {
  const protocol = url.protocol === "https:" ? "https:" : "http:";
  return {
    protocol,
    hostname: url.hostname.replace(/^\[(.*)\]$/, "$1").toLowerCase(),
    port: url.port === "" ? defaultPortOf(protocol) : Number(url.port),
    authority: url.host,
    tls,
  };
}

/** `localhost`, its subdomains and loopback addresses: what never leaves this machine. */
export function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  if (host === "localhost" || host.endsWith(".localhost")) return true;
  const family = isIP(host);
  if (family === 4) return host.startsWith("127.");
  return family === 6 && (host === "::1" || host.startsWith("::ffff:127."));
}
