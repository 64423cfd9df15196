import { isIP } from "node:net";
import { contains, networkList, parseNetwork } from "./networks.ts";

/** Tells whether a URL's host is in a list such as `NO_PROXY` holds. */
export type HostMatcher = (url: URL) => boolean;

/**
 * Patterns: `*`; a host; `.domain` or `*.domain` for its subdomains; either with `:port`; an address or a network.
 * With `subdomains`, a bare domain stands for its subdomains too, as `NO_PROXY` is read by most programs.
 */
export function hostMatcher(patterns: readonly string[], options: { readonly subdomains: boolean }): HostMatcher {
  const networks = networkList(patterns.filter((pattern) => parseNetwork(pattern) !== undefined));
  const names = patterns.filter((pattern) => parseNetwork(pattern) === undefined).map(parsePattern);
  return (url) => {
    const host = bareHostOf(url);
    if (isIP(host) !== 0 && contains(networks, host)) return true;
    return names.some(({ name, port }) => (port === undefined || port === portOf(url)) && nameMatches(name, host, options.subdomains));
  };
}

/** Without the brackets of IPv6, in lower case, without the dot that ends a full name. */
export const bareHostOf = (url: URL): string =>
  url.hostname
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "")
    .toLowerCase();

const portOf = (url: URL): string => url.port || (url.protocol === "https:" ? "443" : "80");

function parsePattern(text: string): { readonly name: string; readonly port: string | undefined } {
  const match = /^\[?([^\]]*?)\]?(?::(\d+))?$/.exec(text.trim().toLowerCase());
  return { name: match?.[1] ?? text, port: match?.[2] };
}

function nameMatches(name: string, host: string, subdomains: boolean): boolean {
  if (name === "*") return true;
  const parent = name.replace(/^\*/, "");
  if (parent.startsWith(".")) return host.endsWith(parent);
  return host === name || (subdomains && host.endsWith(`.${name}`));
}
