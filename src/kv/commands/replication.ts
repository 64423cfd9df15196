import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, notAnInteger, syntaxError } from "../command-error.ts";
import { integerAt } from "../numbers.ts";
import type { FailoverOrder } from "../replica/failover.ts";
import type { Command, CommandFlag } from "./command.ts";

const ADMIN: readonly CommandFlag[] = ["admin", "noscript", "stale", "no_async_loading"];

const replicaof = (name: "replicaof" | "slaveof", since: string): Command => ({
  name,
  arity: 3,
  flags: ADMIN,
  group: "server",
  summary: "Makes the server a replica of another one, or a primary.",
  since,
  run(client, request) {
    const { replication, parameters } = client.store;
    if (parameters["cluster-enabled"]) throw new CommandError("ERR REPLICAOF not allowed in cluster mode.");
    if (replication === undefined) throw new CommandError("ERR This server cannot follow others");
    if (replication.failover.state !== "no-failover") throw new CommandError("ERR REPLICAOF not allowed while failing over.");
    if (request.word(1) === "no" && request.word(2) === "one") replication.lead();
    else {
      const port = integerAt(request, 2, { min: 0, max: 65_535, error: "ERR Invalid master port" });
      if (client.replica !== undefined) throw new CommandError("ERR Command is not valid when client is a replica.");
      const host = request.text(1);
      const { address } = replication.link ?? {};
      if (address?.host === host && address.port === port) return client.reply.simple("OK Already connected to specified master");
      replication.follow({ host, port });
    }
    client.reply.ok();
  },
});

const failover: Command = {
  name: "failover",
  arity: -1,
  flags: ADMIN,
  group: "server",
  summary: "Hands the role of the primary to a replica.",
  since: "6.2.0",
  run(client, request) {
    if (client.store.parameters["cluster-enabled"]) throw new CommandError("ERR FAILOVER not allowed in cluster mode.");
    const { replication } = client.store;
    if (replication === undefined) throw new CommandError("ERR This server has no replicas");
    if (request.count === 2 && request.word(1) === "abort") replication.failover.abort("Failover manually aborted");
    else replication.failover.begin(failoverOrderOf(request));
    client.reply.ok();
  },
};

function failoverOrderOf(request: Request): FailoverOrder {
  let forces = false;
  let target: FailoverOrder["target"];
  let timeoutMs: number | undefined;
  for (let i = 1; i < request.count; i++) {
    const word = request.word(i);
    const more = request.count - i - 1;
    if (word === "timeout" && more >= 1 && timeoutMs === undefined) {
      timeoutMs = integerAt(request, ++i);
      if (timeoutMs <= 0) throw new CommandError("ERR FAILOVER timeout must be greater than 0");
    } else if (word === "to" && more >= 2 && target === undefined) {
      target = { host: request.text(i + 1), port: integerAt(request, i + 2, { min: 1, max: 65_535 }) };
      i += 2;
    } else if (word === "force" && !forces) forces = true;
    else throw syntaxError();
  }
  return { target, timeoutMs, forces };
}

const wait: Command = {
  name: "wait",
  arity: 3,
  flags: ["noscript"],
  group: "generic",
  summary: "Waits until replicas have what this connection has written; how many have.",
  since: "3.0.0",
  categories: ["connection"],
  run(client, request) {
    const { store, reply } = client;
    if (store.replication?.link !== undefined)
      throw new CommandError(
        "ERR WAIT cannot be used with replica instances. Please also note that writes to replicas are just local and are not propagated.",
      );
    const wanted = integerAt(request, 1);
    const timeoutMs = timeoutAt(request, 2);
    if (wanted < 0) throw notAnInteger();
    const offset = client.replicationOffset;
    const count = (): number => store.replication?.primary.countAt(offset, false) ?? 0;
    if (count() >= wanted || !client.mayBlock) return reply.integer(count());
    const answered = (): boolean => {
      if (count() < wanted) return false;
      reply.integer(count());
      return true;
    };
    waitFor(client, timeoutMs, answered, () => reply.integer(count()));
  },
};

const waitaof: Command = {
  name: "waitaof",
  arity: 4,
  flags: ["noscript"],
  group: "generic",
  summary: "Waits until what this connection has written is on disk, here and at replicas; how many have it there.",
  since: "7.2.0",
  categories: ["connection"],
  run(client, request) {
    const { store, reply } = client;
    const local = integerAt(request, 1, { min: 0, max: 1 });
    const replicas = integerAt(request, 2, { min: 0 });
    const timeoutMs = timeoutAt(request, 3);
    if (store.replication?.link !== undefined)
      throw new CommandError(
        "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are not propagated.",
      );
    const journal = store.persistence?.journal;
    if (local === 1 && journal?.enabled !== true)
      throw new CommandError("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");
    const { replicationOffset, journalOffset } = client;
    const here = (): number => (journal?.enabled === true && journal.syncedOffset >= journalOffset ? 1 : 0);
    const there = (): number => store.replication?.primary.countAt(replicationOffset, true) ?? 0;
    const answer = (): void => {
      reply.array(2);
      reply.integer(here());
      reply.integer(there());
    };
    const isEnough = (): boolean => here() >= local && there() >= replicas;
    if (isEnough() || !client.mayBlock) return answer();
    const answered = (): boolean => {
      if (!isEnough()) return false;
      answer();
      return true;
    };
    waitFor(client, timeoutMs, answered, answer);
  },
};

function timeoutAt(request: Request, index: number): number {
  const timeoutMs = integerAt(request, index, { error: "ERR timeout is not an integer or out of range" });
  if (timeoutMs < 0) throw new CommandError("ERR timeout is negative");
  return timeoutMs;
}

function waitFor(client: Client, timeoutMs: number, answered: () => boolean, timedOut: () => void): void {
  client.store.waits.add(client, Math.min(timeoutMs, TIMER_MS_MAX), answered, timedOut);
  client.store.replication?.primary.askAck();
}

/** The longest that one timer takes. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export const REPLICATION_COMMANDS: readonly Command[] = [
  failover,
  replicaof("replicaof", "5.0.0"),
  replicaof("slaveof", "1.0.0"),
  wait,
  waitaof,
];
