import { BlockList, isIP } from "node:net";

/** `10.0.0.0/8`, `fd00::/8` or one address, taken apart; undefined when it is none of them. */
export function parseNetwork(text: string): { readonly address: string; readonly prefixBits: number; readonly family: 4 | 6 } | undefined {
  const match = /^([0-9A-Fa-f.:]{2,45})(?:\/(\d{1,3}))?$/.exec(text);
  const address = match?.[1] ?? "";
  const family = isIP(address);
  if (family !== 4 && family !== 6) return undefined;
  const widest = family === 4 ? 32 : 128;
  const prefixBits = match?.[2] === undefined ? widest : Number(match[2]);
  return prefixBits > widest ? undefined : { address, prefixBits, family };
}

/** Networks to test addresses against. Text that is no network is a bug of the caller: settings are checked when they are read. */
export function networkList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const text of networks) {
    const network = parseNetwork(text);
    if (network === undefined) throw new TypeError(`not a network: ${text}`);
    const { address, prefixBits, family } = network;
    list.addSubnet(address, prefixBits, family === 4 ? "ipv4" : "ipv6");
    if (family === 4) addTranslated(list, address, prefixBits);
  }
  return list;
}

/** Whether `address` lies in the list; IPv4 inside IPv6 (`::ffff:10.0.0.1`) counts as IPv4. */
export function contains(list: BlockList, address: string): boolean {
  const plain = address.replace(/%.*$/, ""); // a zone names an interface, not another address
  return list.check(plain, isIP(plain) === 6 ? "ipv6" : "ipv4");
}

/** A NAT64 gateway (RFC 6052) or 6to4 relay (RFC 3056) would lead to the same IPv4 network through another door. */
function addTranslated(list: BlockList, address: string, prefixBits: number): void {
  const [a = 0, b = 0, c = 0, d = 0] = address.split(".").map(Number);
  const groups = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  list.addSubnet(`64:ff9b::${groups}`, 96 + prefixBits, "ipv6");
  list.addSubnet(`2002:${groups}::`, 16 + prefixBits, "ipv6");
}
