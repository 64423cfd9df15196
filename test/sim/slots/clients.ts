import type { Admission } from "../../../src/kv/slots/admission.ts";
import type { Cluster } from "./cluster.ts";
import { slotOf } from "./copy-model.ts";
import { KEYS_PER_SLOT, NODES, SLOTS } from "./scenario.ts";

const CLIENTS = 5;
const TIMEOUT_MS = 250;
const TRIES_MAX = 8;

interface Sent {
  readonly id: number;
  readonly key: string;
  /** The last time that it left; before that only refusals came. */
  sentMs: number;
  ackedMs: number;
  outcome: "unknown" | "acknowledged" | "refused";
}

/** Append numbers that are never used twice, one after the other each, and know what came of them. */
export class Clients {
  readonly #cluster: Cluster;
  readonly #sent: Sent[] = [];
  acknowledged = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  start(untilMs: number): void {
    for (let client = 0; client < CLIENTS; client++) this.#next(untilMs);
  }

  #next(untilMs: number): void {
    const { world } = this.#cluster;
    const slow = world.nowMs > this.#cluster.faults.untilMs ? 10 : 1;
    world.after(slow * world.between(1, 12), () => {
      if (world.nowMs > untilMs) return;
      const key = `${world.random.below(SLOTS)}/${world.random.below(KEYS_PER_SLOT)}`;
      const sent: Sent = { id: this.#sent.length, key, sentMs: 0, ackedMs: Infinity, outcome: "unknown" };
      this.#sent.push(sent);
      this.#try(sent, world.pick(NODES)!, 1, () => this.#next(untilMs));
    });
  }

  #try(sent: Sent, name: string, tries: number, done: () => void): void {
    const { world } = this.#cluster;
    let over = false;
    const finish = (): void => {
      if (over) return;
      over = true;
      done();
    };
    sent.sentMs = world.nowMs;
    world.after(TIMEOUT_MS, finish); // whether it was done it will never know
    world.after(world.between(0.2, world.chance(0.02) ? 500 : 3), () => {
      const node = this.#cluster.node(name)!;
      if (!node.up) return;
      node.alive(() =>
        node.write({
          id: sent.id,
          key: sent.key,
          answer: (reply) =>
            world.after(world.between(0.2, 3), () =>
              this.#answered(sent, reply, { name, tries, finish, done, isOver: () => over, end: () => (over = true) }),
            ),
        }),
      )();
    });
  }

  #answered(sent: Sent, reply: "ok" | Admission, how: Trying): void {
    const { world } = this.#cluster;
    if (how.isOver()) return;
    if (reply === "ok") {
      sent.outcome = "acknowledged";
      sent.ackedMs = world.nowMs;
      this.acknowledged++;
      return how.finish();
    }
    if (how.tries === TRIES_MAX) {
      sent.outcome = "refused";
      return how.finish();
    }
    how.end();
    const to = reply.kind === "moved" ? reply.owner : how.name;
    world.after(reply.kind === "moved" ? 1 : 15, () => this.#try(sent, to, how.tries + 1, how.done));
  }

  /** I3 and I4: what was acknowledged is there once, what was refused is not, and in an order in which it can have happened. */
  check(listOf: (key: string) => readonly number[]): void {
    const { world } = this.#cluster;
    const keys = new Set(this.#sent.map(({ key }) => key));
    for (const key of keys) {
      const list = listOf(key);
      const seen = new Set(list);
      if (seen.size !== list.length)
        world.violated(`I3: ${key} has a write twice: ${list.filter((id, at) => list.indexOf(id) !== at).join()}`);
      for (const { id, key: of, outcome } of this.#sent) {
        if (of !== key) continue;
        if (outcome === "acknowledged" && !seen.has(id))
          world.violated(`I3: ${key} (slot ${slotOf(key)}) has lost ${id}, which was acknowledged`);
        if (outcome === "refused" && seen.has(id)) world.violated(`I3: ${key} has ${id}, which was refused`);
      }
      let latest = -1;
      for (const id of list) {
        const { sentMs, ackedMs } = this.#sent[id]!;
        if (ackedMs < latest) world.violated(`I4: ${key} has ${id} behind one that was sent after its answer`);
        latest = Math.max(latest, sentMs);
      }
    }
  }
}

interface Trying {
  readonly name: string;
  readonly tries: number;
  readonly finish: () => void;
  readonly done: () => void;
  readonly isOver: () => boolean;
  readonly end: () => void;
}
