import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import type { Command } from "../commands/command.ts";
import { keysOf, soleKeyIndex } from "../commands/found-keys.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { slotOfBytes } from "../keyspace/key-slot.ts";
import type { Member } from "./members.ts";

/** The command has to wait until its slots are decided. */
export const WAITS = "WAITS";

const CROSS_SLOT = "CROSSSLOT Keys in request don't hash to the same slot";
const UNSTABLE = "TRYAGAIN Multiple keys request during rehashing of slot";
export const DOWN = "CLUSTERDOWN The cluster is down";
export const DOWN_READ_ONLY = "CLUSTERDOWN The cluster is down and only accepts read commands";
export const UNBOUND = "CLUSTERDOWN Hash slot not served";

/** How a command's keys are found; made once for each command. */
type Plan = { readonly kind: "none" | "many" | "queued" } | { readonly kind: "one"; readonly index: number; readonly writes: boolean };

const plans = new Map<Command, Plan>();

function planOf(command: Command): Plan {
  const known = plans.get(command);
  if (known !== undefined) return known;
  const plan = newPlan(command);
  plans.set(command, plan);
  return plan;
}

function newPlan(command: Command): Plan {
  const { name, keys = [] } = command;
  if (name === "exec") return { kind: "queued" };
  if (keys.length === 0 && command.keysOf === undefined) return { kind: "none" };
  const index = soleKeyIndex(command);
  return index >= 0 ? { kind: "one", index, writes: command.flags.includes("write") } : { kind: "many" };
}

const SHARD_PUBSUB: ReadonlySet<string> = new Set(["ssubscribe", "sunsubscribe", "spublish"]);

/** Of refusals those that tell where to go, or that the cluster cannot. */
export const isRedirection = (refusal: string): boolean => /^(MOVED|ASK|TRYAGAIN|CROSSSLOT|CLUSTERDOWN) /.test(refusal);

/** What `routeOf` says of a command that a client has sent; `WAITS`: it is held back. ASKING counts for the next command, or for a transaction. */
export function refusalIn(node: ClusterNode, client: Client, command: Command, request: Request): string | undefined {
  if (client.isPrimary) return undefined;
  if (client.asking !== "no" && client.transaction === undefined) client.asking = client.asking === "next" ? "now" : "no";
  const refusal = routeOf(node, client, command, request);
  if (refusal !== WAITS) return refusal;
  if (client.asking === "now") client.asking = "next"; // it comes once more
  node.hold(client);
  return WAITS;
}

/**
 * Why a command is not run here, as Redis decides it (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#moved-redirection); undefined: it is.
 */
export function routeOf(node: ClusterNode, client: Client, command: Command, request: Request): string | undefined {
  const plan = planOf(command);
  if (plan.kind === "none") return undefined;
  if (plan.kind === "one") {
    const { bytes, offsets, lengths } = request;
    if (plan.index < request.count) {
      const slot = slotOfBytes(bytes, offsets[plan.index]!, lengths[plan.index]!);
      if (node.isOpen(slot)) {
        if (client.transaction === undefined) (plan.writes ? node.writes : node.reads)[slot]!++; // there is one for each slot; EXEC counts what is queued
        return undefined;
      }
    }
  }
  const calls = plan.kind === "queued" ? (client.transaction?.queue ?? []) : [{ command, request }];
  const found = slotOf(node, client, calls);
  if (found !== undefined && found !== CROSS_SLOT && node.isSettling) return WAITS;
  if (typeof found !== "object") return found;
  const refusal = decide(node, client, { ...found, command, calls });
  if (refusal === undefined && (client.transaction === undefined || plan.kind === "queued"))
    for (const call of calls) (call.command.flags.includes("write") ? node.writes : node.reads)[found.slot]!++; // as above
  return refusal;
}

/** What a slot's keys are like here. */
interface Found {
  readonly slot: number;
  readonly severalKeys: boolean;
  readonly here: number;
  readonly missing: number;
}

interface Call {
  readonly command: Command;
  readonly request: Request;
}

/** The one slot of all keys; undefined: there are none. */
function slotOf(node: ClusterNode, client: Client, calls: readonly Call[]): Found | string | undefined {
  let first: string | undefined;
  let slot = -1;
  let severalKeys = false;
  let [here, missing] = [0, 0];
  for (const { command, request } of calls)
    for (const { index } of keysOf(command, request)) {
      const key = request.text(index);
      const of = slotOfBytes(request.bytes, request.offsets[index]!, request.lengths[index]!);
      if (first === undefined) {
        first = key;
        slot = of;
        if (node.ownerOf(of) === "") return UNBOUND;
      } else if (of !== slot) return CROSS_SLOT;
      else if (key !== first) severalKeys = true;
      if (!node.migrating.has(of) && !node.importing.has(of)) continue;
      const { db } = client;
      if (db.peekText(key) === 0) missing++;
      else here++;
    }
  return first === undefined ? undefined : { slot, severalKeys, here, missing };
}

interface Question extends Found {
  readonly command: Command;
  readonly calls: readonly Call[];
  /** It is the rest of what has begun to write: whether there is a lease was asked before. */
  readonly hasBegun?: boolean;
}

function decide(
  node: ClusterNode,
  client: Client,
  { slot, severalKeys, here, missing, command, calls, hasBegun = false }: Question,
): string | undefined {
  const { parameters } = node.store;
  const leaseHolds = hasBegun || node.leaseHolds;
  const writes = calls.some((call) => call.command.flags.includes("write"));
  const isShardPubSub = SHARD_PUBSUB.has(command.name);
  if (!node.covered || !leaseHolds) {
    if (isShardPubSub) {
      if (!parameters["cluster-allow-pubsubshard-when-down"]) return DOWN;
    } else if (!parameters["cluster-allow-reads-when-down"]) return DOWN;
    else if (writes) return DOWN_READ_ONLY;
  }
  const owner = node.ownerOf(slot);
  const isMine = owner === node.id;
  const away = isMine ? node.migrating.get(slot) : undefined;
  const comes = !isMine && node.importing.has(slot);
  if ((away !== undefined || comes) && command.name === "migrate") return undefined;
  if (away !== undefined && missing > 0 && !isShardPubSub) return here > 0 ? UNSTABLE : redirect(node, client, "ASK", slot, away);
  if (comes && (client.asking !== "no" || command.flags.includes("asking"))) return severalKeys && missing > 0 ? UNSTABLE : undefined;
  if (!isMine) {
    const readsHere = (client.readsReplica || isShardPubSub) && node.isReplica && !writes && owner === node.self.primary;
    return readsHere ? undefined : redirect(node, client, "MOVED", slot, owner);
  }
  if (!leaseHolds) return writes || !parameters["cluster-allow-reads-when-down"] ? DOWN : undefined;
  const { kind } = node.admission(slot, writes || command.flags.includes("may_replicate"), leaseHolds);
  if (kind === "serve") return undefined;
  // What is only queued now is asked again with EXEC.
  if (kind === "wait") return client.transaction !== undefined && command.name !== "exec" ? undefined : WAITS;
  return kind === "tryAgain" ? UNSTABLE : DOWN;
}

/** Why a script may not call this, as Redis words it; otherwise the slot of its keys, undefined where it has none. `wrote`: it has written, and half of it must not be all. */
export function scriptRefusal(
  node: ClusterNode,
  client: Client,
  call: Call,
  wrote: boolean,
): string | { readonly slot: number } | undefined {
  const found = slotOf(node, client, [call]);
  if (found === undefined) return undefined;
  if (found === CROSS_SLOT) return "Script attempted to access keys that do not hash to the same slot";
  const refusal =
    typeof found === "string" ? found : decide(node, client, { ...found, command: call.command, calls: [call], hasBegun: wrote });
  if (refusal === undefined) return typeof found === "string" ? undefined : found;
  if (refusal === DOWN) return "Script attempted to execute a command while the cluster is down";
  if (refusal === DOWN_READ_ONLY) return "Script attempted to execute a write command while the cluster is down and readonly";
  return "Script attempted to access a non local key in a cluster node";
}

/** `MOVED 3999 127.0.0.1:6381`. */
export function redirect(node: ClusterNode, client: Client, kind: "MOVED" | "ASK", slot: number, to: string): string {
  const member = node.member(to);
  return member === undefined ? UNBOUND : `${kind} ${slot} ${endpointOf(node, member) ?? ""}:${portFor(client, member)}`;
}

/** How clients are to reach a node, as `cluster-preferred-endpoint-type` says; undefined: as they reach this one. */
export function endpointOf(node: ClusterNode, member: Member): string | undefined {
  const type = node.store.parameters["cluster-preferred-endpoint-type"];
  if (type === "ip") return member.host;
  return type === "hostname" ? member.hostname || "?" : undefined;
}

/** A client that has come by TLS goes on so. */
export function portFor(client: Client, { port, tlsPort }: Member): number {
  if (tlsPort === 0) return port;
  const own = client.store.listeners?.port("tls") ?? 0;
  return port === 0 || (own !== 0 && client.output.peer?.localAddress.endsWith(`:${own}`) === true) ? tlsPort : port;
}
