import { isIPv4, isIPv6 } from "node:net";
import { AnaxError } from "../../base/errors.ts";
import type { TaskId } from "./ids.ts";
import { sipHash24 } from "./siphash.ts";

/** Where a scheduler listens; the address itself, since names would hash differently from machine to machine. */
export interface SchedulerAddress {
  readonly ip: string;
  readonly port: number;
}

/** One point for each scheduler, in the order of their hashes. */
export type HashRing<A extends SchedulerAddress> = readonly { readonly point: bigint; readonly scheduler: A }[];

/** How much of a task id decides. */
const KEY_CHARS = 5;

/**
 * The ring on which every daemon of a cluster, Dragonfly's Rust client included (crate `hashring` 0.3.6), finds the same scheduler for a task.
 * It wants the same list everywhere; its order does not matter. Throws `input.invalid` on what is no IP address or port.
 */
export function createHashRing<A extends SchedulerAddress>(schedulers: readonly A[]): HashRing<A> {
  return schedulers
    .map((scheduler) => ({ point: sipHash24(addressBytesOf(scheduler)), scheduler }))
    .toSorted((a, b) => (a.point < b.point ? -1 : a.point > b.point ? 1 : 0));
}

/** The scheduler of a task: the first point at or behind the hash of its id, round the end; undefined on an empty ring. */
export function schedulerOf<A extends SchedulerAddress>(ring: HashRing<A>, task: TaskId): A | undefined {
  const key = sipHash24(textBytesOf(task.slice(0, KEY_CHARS)));
  return (ring.find(({ point }) => point >= key) ?? ring[0])?.scheduler;
}

/** What Rust feeds to a hasher for a `String`: its bytes, and one that no UTF-8 text has. */
const textBytesOf = (text: string): Uint8Array => Buffer.concat([Buffer.from(text), Buffer.of(0xff)]);

/**
 * What Rust (1.88 as upstream pins it, and 1.95) feeds for a `SocketAddr` on a little-endian machine: the variant in 8 bytes, the octets
 * without a length before them, the port; for version 6 also flow and scope.
 */
function addressBytesOf({ ip, port }: SchedulerAddress): Uint8Array {
  const octets = isIPv4(ip) ? octets4Of(ip) : isIPv6(ip) && !ip.includes("%") ? octets6Of(ip) : undefined;
  if (octets === undefined || !Number.isInteger(port) || port < 0 || port > 0xffff) {
    throw new AnaxError("input.invalid", { reason: "a scheduler needs an IP address and a port", ip, port });
  }
  const bytes = Buffer.alloc(octets.length === 4 ? 14 : 34);
  bytes.writeUInt8(octets.length === 4 ? 0 : 1, 0);
  bytes.set(octets, 8);
  bytes.writeUInt16LE(port, 8 + octets.length);
  return bytes; // flow and scope stay zero
}

const octets4Of = (ip: string): number[] => ip.split(".").map(Number);

/** Of a valid address; the URL parser brings every spelling, an embedded IPv4 address included, to plain groups. */
function octets6Of(ip: string): number[] {
  const plain = new URL(`http://[${ip}]`).hostname.slice(1, -1);
  const [head = [], tail = []] = plain.split("::").map((side) => (side === "" ? [] : side.split(":")));
  const zeros = Array.from({ length: plain.includes("::") ? 8 - head.length - tail.length : 0 }, () => "0");
  return [...head, ...zeros, ...tail].flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]);
}
