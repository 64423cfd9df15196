import { z } from "zod";
import { AnaxError } from "../../base/errors.ts";
import type { Cell, Register } from "../../register/register.ts";
import { valueIn } from "../slots/cell-value.ts";

/** A node as the register knows it: what others have to know of it, and what was decided about it. */
export interface Member {
  /** 40 hexadecimal digits, for ever. */
  readonly id: string;
  /** Nodes with the same one are a cluster. A node begins alone; CLUSTER MEET makes two clusters one. */
  readonly cluster: string;
  /** What a primary and its replicas share, 40 hexadecimal digits. */
  readonly shard: string;
  /** Whose replica it is; empty: nobody's. */
  readonly primary: string;
  readonly host: string;
  readonly port: number;
  /** 0: none. */
  readonly tlsPort: number;
  /** Shown only: nothing listens there. */
  readonly busPort: number;
  readonly hostname: string;
  /** On which machine it runs: there loopback addresses mean the same. */
  readonly machine: string;
  /** By CLUSTER SET-CONFIG-EPOCH; 0: never. */
  readonly configEpoch: number;
}

/** The register's list of nodes, of all clusters that use it. */
export interface Members {
  /** Of the cell; an older one is refused. */
  readonly version: number;
  readonly all: readonly Member[];
}

export const NO_MEMBERS: Members = { version: 0, all: [] };

const CELL = "nodes";
const MEMBERS_MAX = 2000;
/** Others change the list at the same time: each of them makes one round more. */
const ROUNDS_MAX = 20;
const id = z.string().regex(/^[0-9a-f]{40}$/);
const port = z.int().min(0).max(65_535);
const MembersForm = z
  .array(
    z.strictObject({
      id,
      cluster: id,
      shard: id,
      primary: id.or(z.literal("")),
      host: z.string().max(255),
      port,
      tlsPort: port,
      busPort: z.int().min(0).max(75_535),
      hostname: z.string().max(255),
      machine: z.string().max(255),
      configEpoch: z.int().min(0),
    }),
  )
  .max(MEMBERS_MAX);

/** The list, or `known` where it has not changed. Throws `register.*`. */
export async function readMembers(register: Register, known: Members, signal?: AbortSignal): Promise<Members> {
  const cell = await register.read(CELL, signal);
  return cell.version <= known.version ? known : membersIn(cell);
}

/**
 * Changes the list; `change` gives the nodes as they are to be, or undefined where nothing is to be done, and may be asked again. Throws `register.*`, `limit.exceeded`, or
 * what `change` throws; after `register.unknown` it may have been done.
 */
export async function changeMembers(
  register: Register,
  change: (all: readonly Member[]) => readonly Member[] | undefined,
): Promise<Members> {
  let cell = await register.read(CELL);
  for (let round = 1; round <= ROUNDS_MAX; round++) {
    const now = membersIn(cell);
    const wanted = change(now.all);
    if (wanted === undefined) return now;
    if (wanted.length > MEMBERS_MAX) throw new AnaxError("limit.exceeded", { nodes: wanted.length, nodesMax: MEMBERS_MAX });
    const set = await register.compareAndSet(CELL, { expected: cell.version, value: JSON.stringify(wanted) });
    if (set.kind === "set") return { version: set.version, all: wanted };
    cell = set.current;
  }
  throw new AnaxError("limit.exceeded", { rounds: ROUNDS_MAX, cell: CELL });
}

const membersIn = (cell: Cell): Members => ({
  version: cell.version,
  all: cell.value === "" ? [] : valueIn(MembersForm, cell.value),
});

/** What a node says of itself when it starts. */
export type Introduction = Pick<Member, "id" | "host" | "port" | "tlsPort" | "busPort" | "hostname" | "machine">;

/**
 * The list with this node as it is now; undefined: it is so already. One that is new begins a cluster of its own, named `fresh`, and whoever was alone at its address is gone: two cannot
 * listen there.
 */
export function introduced(all: readonly Member[], self: Introduction, fresh: string): readonly Member[] | undefined {
  const before = all.find((member) => member.id === self.id);
  const now: Member = { cluster: fresh, shard: fresh, primary: "", configEpoch: 0, ...before, ...self };
  if (before !== undefined && JSON.stringify(before) === JSON.stringify({ ...before, ...self })) return undefined;
  const isGone = (member: Member): boolean =>
    member.id !== self.id &&
    member.host === self.host &&
    member.port === self.port &&
    member.machine === self.machine &&
    !all.some((other) => other.id !== member.id && other.cluster === member.cluster);
  const others = all.filter((member) => member.id !== self.id && !isGone(member));
  return [...others, now];
}

/** After a node took slots of another which has kept some: it leads a shard of its own, named `fresh`. The other's replicas may have what the node has not, and stay. */
export function parted(all: readonly Member[], leader: string, fresh: string): readonly Member[] | undefined {
  const next = all.map((member) => (member.id === leader && member.primary !== "" ? { ...member, primary: "", shard: fresh } : member));
  return next.every((member, at) => member === all[at]) ? undefined : next;
}

/** After a node took another's place: it leads, and the other and all of its replicas follow. */
export function promoted(all: readonly Member[], leader: string, before: string): readonly Member[] | undefined {
  const next = all.map((member): Member => {
    if (member.id === leader) return member.primary === "" ? member : { ...member, primary: "" };
    const follows = before !== "" && (member.id === before || member.primary === before);
    return follows && member.primary !== leader && before !== leader ? { ...member, primary: leader } : member;
  });
  return next.every((member, at) => member === all[at]) ? undefined : next;
}
