import type { Request } from "../../../wire/resp/request.ts";
import { AnaxError } from "../../../base/errors.ts";
import type { Client } from "../../clients/client.ts";
import type { Cluster } from "../../cluster/start-cluster.ts";
import type { Member } from "../../cluster/members.ts";
import { CommandError } from "../../command-error.ts";
import { SLOT_COUNT } from "../../keyspace/key-slot.ts";
import type { Command, CommandFlag } from "../command.ts";

type Run = (client: Client, request: Request, cluster: Cluster) => void;

export function clusterOf(client: Client): Cluster {
  const { cluster } = client.store;
  if (cluster === undefined) throw new CommandError("ERR This instance has cluster support disabled");
  return cluster;
}

/** One of CLUSTER that anybody may ask. */
export const asks = (name: string, arity: number, summary: string, run: Run, since = "3.0.0"): Command =>
  subcommand(name, arity, ["stale"], summary, run, since);

/** One that changes the cluster. */
export const changes = (name: string, arity: number, summary: string, run: Run, since = "3.0.0"): Command =>
  subcommand(name, arity, name === "reset" ? ["admin", "stale", "noscript"] : ["admin", "stale"], summary, run, since);

const subcommand = (name: string, arity: number, flags: readonly CommandFlag[], summary: string, run: Run, since: string): Command => ({
  name: `cluster|${name}`,
  arity,
  flags: name === "shards" || name === "slots" ? ["loading", ...flags] : flags,
  group: "cluster",
  summary,
  since,
  run: (client, request) => run(client, request, clusterOf(client)),
});

/** Orders about slots that move, which only who administers the store gives. */
export const orders =
  (family: "cluster" | "dflycluster" | "dflymigrate") =>
  (name: string, arity: number, summary: string, run: NonNullable<Command["run"]>): Command => ({
    name: `${family}|${name}`,
    arity,
    flags: ["admin", "stale", "noscript"],
    group: "cluster",
    summary,
    since: "7.0.0",
    run,
  });

/** Waiting for the register has an end, by its own deadline. Within a transaction or a script the answer comes at once, and what fails is logged. */
export function answerLater<T>(client: Client, work: Promise<T>, answer: (result: T) => void): void {
  const { store } = client;
  if (!client.mayBlock) {
    work.catch((error: unknown) => store.cluster?.node.log.warn("store.cluster-change-failed", { error }));
    return client.reply.ok();
  }
  const { blocked } = store;
  blocked.add(client, { db: client.db, keys: [], serve: () => false, timedOut: () => {}, reason: "pause", timer: undefined });
  void work
    .then(answer, (thrown: unknown) => {
      if (thrown instanceof CommandError) client.fail(thrown.message);
      else if (thrown instanceof AnaxError) client.fail(`ERR ${thrown.message}`);
      else throw thrown;
    })
    .finally(() => blocked.release(client));
}

export function answerOk(client: Client, work: Promise<unknown>): void {
  if (client.mayBlock) answerLater(client, work, () => client.reply.ok());
  else answerLater(client, work, () => {});
}

/** Throws `ERR Invalid or out of range slot`. */
export function slotAt(request: Request, index: number): number {
  const text = request.text(index);
  const slot = /^-?\d{1,15}$/.test(text) ? Number(text) : -1;
  if (slot < 0 || slot >= SLOT_COUNT) throw new CommandError("ERR Invalid or out of range slot");
  return slot;
}

/** Throws `ERR Unknown node …`, or the error given. */
export function memberAt(request: Request, index: number, { node }: Cluster, error = "ERR Unknown node"): Member {
  const id = request.text(index);
  const member = node.member(id);
  if (member === undefined) throw new CommandError(`${error} ${id}`);
  return member;
}
