import type { Random } from "../../src/base/random.ts";
import type { Reply } from "../store/resp-client.ts";
import { pause, type ClusterCaller, type Outcome } from "./cluster-caller.ts";
import { judgeRegister, placesFollowTime, type Call, type Placed } from "./linearizability.ts";

const GROUPS = 12;
/** More clients at a time would show no more than these, and cost more. */
const THINK_MS = 4;
/** At the end; to read changes nothing. */
const READS_MAX = 10;
const EXPIRES_MS = 300;
/** Clocks of processes on one machine, and the time from the server to here. */
const EXPIRY_SLACK_MS = 1500;
const PUSH_AND_COUNT = "redis.call('RPUSH', KEYS[1], ARGV[1]); return redis.call('INCR', KEYS[2])";

/** Calls that add something, each once: to a list, a counter, or both. */
interface Additions {
  readonly placed: (Placed & { readonly id: string })[];
  readonly unknown: Set<string>;
}

/** What was done to the keys of one slot. */
class Group {
  readonly tag: string;
  readonly list: Additions = { placed: [], unknown: new Set() };
  readonly counter: Additions = { placed: [], unknown: new Set() };
  readonly transactions: Additions = { placed: [], unknown: new Set() };
  readonly scripts: Additions = { placed: [], unknown: new Set() };
  readonly register: Call[] = [];
  readonly queued = { sure: new Set<string>(), maybe: new Set<string>(), taken: new Set<string>(), unknownTakes: 0 };
  readonly expiring = new Map<string, number>();

  constructor(tag: string) {
    this.tag = `{${tag}}`;
  }
}

/** Writes and reads of all kinds, and what must hold of their answers. */
export class Workload {
  readonly groups: readonly Group[];
  readonly violations: string[] = [];
  answered = 0;
  undecided = 0;
  /** False: some node's clock was stepped, and when something expires is anybody's guess. */
  clocksAgree = true;
  #ids = 0;

  /** `name`: no other workload of the same nodes has keys with it. */
  constructor(name: string) {
    this.groups = Array.from({ length: GROUPS }, (_, index) => new Group(`${name}g${index}`));
  }

  /** One client, until it is told to stop. */
  async run(caller: ClusterCaller, random: Random, stops: () => boolean): Promise<void> {
    while (!stops()) {
      await this.#one(caller, this.groups[random.below(GROUPS)]!, random);
      await pause(random.below(THINK_MS));
    }
  }

  async #one(caller: ClusterCaller, group: Group, random: Random): Promise<void> {
    const id = `i${++this.#ids}`;
    const { tag } = group;
    const kind = random.below(10);
    if (kind < 2) return this.#add(group.list, id, await caller.call(tag, ["LPUSH", `${tag}list`, id]));
    if (kind === 2) return this.#add(group.counter, id, await caller.call(tag, ["INCR", `${tag}count`]));
    if (kind === 3) {
      const outcome = await caller.call(tag, ["INCR", `${tag}m1`], ["RPUSH", `${tag}m2`, id]);
      return this.#add(group.transactions, id, outcome, (reply) => this.#both(tag, reply));
    }
    if (kind === 4) return this.#add(group.scripts, id, await caller.call(tag, ["EVAL", PUSH_AND_COUNT, "2", `${tag}s1`, `${tag}s2`, id]));
    if (kind === 5) return this.#queue(group, id, await caller.call(tag, ["RPUSH", `${tag}queue`, id]));
    if (kind === 6) return this.#take(group, await caller.call(tag, ["BLPOP", `${tag}queue`, "0.05"]));
    if (kind === 7) return this.#expire(caller, group, id, random);
    return this.#touch(caller, group, id, random.below(5));
  }

  #add(additions: Additions, id: string, outcome: Outcome, placeOf: (reply: Reply) => number = Number): void {
    if (outcome.kind === "unknown") additions.unknown.add(id);
    if (outcome.kind !== "answer") return;
    this.answered++;
    additions.placed.push({ id, place: placeOf(outcome.reply), callMs: outcome.callMs, returnMs: outcome.returnMs });
  }

  /** A transaction adds to both or to none. */
  #both(tag: string, reply: Reply): number {
    const [first, second] = Array.isArray(reply) ? reply : [];
    if (typeof first !== "number" || first !== second) this.violations.push(`${tag}m1 and m2 went apart: ${JSON.stringify(reply)}`);
    return Number(first);
  }

  #queue({ queued }: Group, id: string, outcome: Outcome): void {
    if (outcome.kind === "answer") queued.sure.add(id);
    else if (outcome.kind === "unknown") queued.maybe.add(id);
    if (outcome.kind === "answer") this.answered++;
  }

  #take({ queued, tag }: Group, outcome: Outcome): void {
    if (outcome.kind === "unknown") queued.unknownTakes++;
    if (outcome.kind !== "answer" || !Array.isArray(outcome.reply)) return;
    const id = String(outcome.reply[1]);
    if (queued.taken.has(id)) this.violations.push(`${tag}queue gave ${id} twice`);
    queued.taken.add(id);
    this.answered++;
  }

  async #expire(caller: ClusterCaller, group: Group, id: string, random: Random): Promise<void> {
    const key = `${group.tag}expires`;
    if (random.below(2) === 0) {
      const outcome = await caller.call(group.tag, ["SET", key, id], ["PEXPIRE", key, String(EXPIRES_MS)]);
      group.expiring.set(id, outcome.kind === "answer" ? outcome.returnMs + EXPIRES_MS : Infinity);
      if (outcome.kind === "answer") this.answered++;
      return;
    }
    const outcome = await caller.call(group.tag, ["GET", key]);
    if (outcome.kind !== "answer" || typeof outcome.reply !== "string") return;
    const untilMs = group.expiring.get(outcome.reply) ?? Infinity;
    if (this.clocksAgree && outcome.callMs > untilMs + EXPIRY_SLACK_MS)
      this.violations.push(`${key} came back ${Math.round(outcome.callMs - untilMs)} ms after it had expired`);
  }

  async #touch(caller: ClusterCaller, { tag, register }: Group, id: string, kind: number): Promise<void> {
    const key = `${tag}value`;
    const add = (call: Pick<Call, "kind" | "value">, outcome: Outcome): void => {
      if (outcome.kind === "not-made") return;
      if (outcome.kind === "answer") this.answered++;
      register.push({ ...call, callMs: outcome.callMs, returnMs: outcome.kind === "answer" ? outcome.returnMs : Infinity });
    };
    if (kind < 2) return add({ kind: "set", value: id }, await caller.call(tag, ["SET", key, id]));
    if (kind === 2) return add({ kind: "del", value: undefined }, await caller.call(tag, ["DEL", key]));
    const outcome = await caller.call(tag, ["GET", key]);
    if (outcome.kind === "answer") add({ kind: "get", value: typeof outcome.reply === "string" ? outcome.reply : undefined }, outcome);
  }

  // --- what must hold at the end ------------------------------------------------------------------------------------------------------

  /** Reads everything, once nothing goes wrong any more, and judges. How many keys there are. */
  async judge(caller: ClusterCaller): Promise<number> {
    let keys = 0;
    for (const group of this.groups) {
      const { tag } = group;
      const read = async (...parts: readonly string[]): Promise<Reply> => {
        let outcome = await caller.call(tag, parts);
        for (let tries = 1; tries < READS_MAX && outcome.kind !== "answer"; tries++) outcome = await caller.call(tag, parts);
        if (outcome.kind === "answer") return outcome.reply;
        this.violations.push(`${parts.join(" ")} is not answered at the end: ${outcome.kind}, ${caller.lastReply}`);
        return null;
      };
      const list = async (name: string): Promise<string[]> => ((await read("LRANGE", `${tag}${name}`, "0", "-1")) as string[] | null) ?? [];
      const number = async (name: string): Promise<number> => Number((await read("GET", `${tag}${name}`)) ?? 0);
      this.#judgeList(`${tag}list`, group.list, (await list("list")).toReversed());
      this.#judgeCounter(`${tag}count`, group.counter, await number("count"));
      const [m2, s1] = [await list("m2"), await list("s1")];
      this.#judgeList(`${tag}m2`, group.transactions, m2);
      if ((await number("m1")) !== m2.length) this.violations.push(`${tag}m1 and m2 ended apart`);
      this.#judgeList(`${tag}s1`, group.scripts, s1);
      if ((await number("s2")) !== s1.length) this.violations.push(`${tag}s1 and s2 ended apart`);
      this.#judgeQueue(group, await list("queue"));
      const value = await read("GET", `${tag}value`);
      const nowMs = performance.now();
      this.#judgeRegister(tag, [
        ...group.register,
        { kind: "get", value: typeof value === "string" ? value : undefined, callMs: nowMs, returnMs: nowMs },
      ]);
      const names = ["list", "count", "m1", "m2", "s1", "s2", "queue", "value", "expires"];
      keys += Number(await read("EXISTS", ...names.map((name) => `${tag}${name}`)));
    }
    return keys;
  }

  /** Elements in the order in which they were added; the answer told each its place. */
  #judgeList(name: string, { placed, unknown }: Additions, list: readonly string[]): void {
    for (const { id, place } of placed)
      if (list[place - 1] !== id) this.violations.push(`${name}: ${id} was answered place ${place}, where ${list[place - 1]} is`);
    const known = new Set(placed.map(({ id }) => id));
    if (new Set(list).size !== list.length) this.violations.push(`${name} has something twice`);
    for (const id of list) if (!known.has(id) && !unknown.has(id)) this.violations.push(`${name} has ${id}, which was not added`);
    if (!placesFollowTime(placed)) this.violations.push(`${name}: the order is not that of time`);
  }

  #judgeCounter(name: string, { placed, unknown }: Additions, end: number): void {
    if (new Set(placed.map(({ place }) => place)).size !== placed.length) this.violations.push(`${name} has answered a number twice`);
    if (end < placed.length || end > placed.length + unknown.size)
      this.violations.push(`${name} is ${end} after ${placed.length} answered and ${unknown.size} unanswered calls`);
    if (placed.some(({ place }) => place > end)) this.violations.push(`${name} has answered more than it is in the end`);
    if (!placesFollowTime(placed)) this.violations.push(`${name}: the order is not that of time`);
  }

  #judgeQueue({ tag, queued }: Group, left: readonly string[]): void {
    const { sure, maybe, taken, unknownTakes } = queued;
    for (const id of [...taken, ...left])
      if (!sure.has(id) && !maybe.has(id)) this.violations.push(`${tag}queue has ${id}, which was not added`);
    for (const id of left) if (taken.has(id)) this.violations.push(`${tag}queue has ${id}, which it has given`);
    const lost = [...sure].filter((id) => !taken.has(id) && !left.includes(id));
    if (lost.length > unknownTakes)
      this.violations.push(`${tag}queue has lost ${lost.length}, and ${unknownTakes} were taken without an answer`);
  }

  #judgeRegister(tag: string, calls: readonly Call[]): void {
    const verdict = judgeRegister(calls);
    if (verdict === "violation") this.violations.push(`${tag}value is not linearisable: ${calls.length} calls`);
    if (verdict === "undecided") this.undecided++;
  }
}
