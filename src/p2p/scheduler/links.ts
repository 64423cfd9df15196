import { beDue, type Peer } from "./state.ts";

// Who trades with whom. A link is one thing seen from two ends: either end may ask the other for pieces, and each counts it.

export function link(a: Peer, b: Peer): void {
  a.neighbours.push(b);
  b.neighbours.push(a);
}

export function unlink(a: Peer, b: Peer): void {
  if (!take(a.neighbours, b)) return;
  take(b.neighbours, a);
  for (const peer of [a, b]) {
    beDue(peer); // it may have too few now
    if (peer.neighbours.length === 0) peer.pushableAtMs = -Infinity; // that cannot wait
  }
}

/** All links of a peer. */
export function loosen(peer: Peer): void {
  while (peer.neighbours.length > 0) unlink(peer, peer.neighbours.at(-1)!); // it is not empty
}

function take(from: Peer[], peer: Peer): boolean {
  const at = from.indexOf(peer);
  if (at === -1) return false;
  const last = from.pop()!; // at least the peer itself
  if (at < from.length) from[at] = last;
  return true;
}
