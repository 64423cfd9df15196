import assert from "node:assert/strict";
import type { Cluster } from "../../src/p2p/scheduler/cluster.ts";
import { PieceSet } from "../../src/p2p/scheduler/piece-set.ts";
import { isRoot, type Bag } from "../../src/p2p/scheduler/roster.ts";
import { standingRejectionOf, traderRejectionOf, type Moment } from "../../src/p2p/scheduler/rules.ts";
import { isActive, isOurs, peersOf, type Peer } from "../../src/p2p/scheduler/state.ts";

/** What is kept up to date peer by peer is what one finds who looks at everything. */
export function checkRosters(cluster: Cluster): void {
  const moment: Moment = { nowMs: cluster.lastTickMs, config: cluster.config };
  for (const { peers, roster, activeCount, succeededCount } of cluster.tasks.values()) {
    const all = [...peers.values()];
    const parents = all.filter((peer) => standingRejectionOf(peer, moment) === undefined);
    sameAs(roster.parents, parents, "parents");
    sameAs(roster.roots, parents.filter(isRoot), "roots");
    sameAs(
      roster.foreign,
      parents.filter(({ host }) => !isOurs(host)),
      "foreign",
    );
    const traders = all.filter((peer) => isOurs(peer.host) && traderRejectionOf(peer, moment) === undefined);
    sameAs(roster.traders, traders, "traders");
    for (const rack of roster.racks.values()) assert.ok(rack.size > 0);
    assert.equal(
      roster.racks.values().reduce((sum, rack) => sum + rack.size, 0),
      traders.length,
    );
    const pieces = new PieceSet();
    for (const peer of parents) pieces.mergeSet(peer.pieces);
    assert.equal(roster.pieces.count, pieces.count, "pieces of all parents");
    assert.equal(activeCount, all.filter(isActive).length);
    assert.equal(succeededCount, all.filter(({ state }) => state === "succeeded").length);
    for (const peer of all) checkLinks(peer);
  }
  const reading = cluster.peers.values().reduce((sum, { permit }) => sum + (permit === undefined ? 0 : 1), 0);
  const ordered = cluster.tasks.values().reduce((sum, { trigger }) => sum + (trigger === undefined ? 0 : 1), 0);
  assert.equal(cluster.budget.total, reading + ordered, "who counts against the budget of sources");
  for (const host of cluster.hosts.values())
    for (const peer of peersOf(host)) assert.ok(cluster.peers.get(peer.id) === peer && peer.host === host);
}

function sameAs(bag: Bag, peers: readonly Peer[], name: string): void {
  assert.deepEqual(bag.peers.map(({ id }) => id).toSorted(), peers.map(({ id }) => id).toSorted(), name);
}

function checkLinks(peer: Peer): void {
  assert.equal(new Set(peer.neighbours).size, peer.neighbours.length, "nobody is a neighbour twice");
  for (const other of peer.neighbours) {
    assert.ok(other !== peer && other.task === peer.task && other.host !== peer.host);
    assert.ok(other.neighbours.includes(peer), "each names the other");
    assert.ok(isActive(peer) || isActive(other), "one of the two wants something");
  }
}
