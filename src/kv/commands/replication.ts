import { CommandError, notAnInteger, syntaxError } from "../command-error.ts";
import { integerAt } from "../numbers.ts";
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
    if (request.word(1) !== "no" || request.word(2) !== "one") {
      const port = request.text(2);
      if (!/^\d+$/.test(port) || Number(port) > 65_535) throw new CommandError("ERR Invalid master port");
      throw new CommandError("ERR This server does not follow others yet");
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
    let aborts = false;
    let forces = false;
    let to = false;
    let timeout: number | undefined;
    for (let i = 1; i < request.count; i++) {
      const word = request.word(i);
      const more = request.count - i - 1;
      if (word === "timeout" && more >= 1 && timeout === undefined) {
        timeout = integerAt(request, ++i);
        if (timeout <= 0) throw new CommandError("ERR FAILOVER timeout must be greater than 0");
      } else if (word === "abort" && request.count === 2) aborts = true;
      else if (word === "to" && more >= 2 && !to) {
        to = true;
        integerAt(request, i + 2, { min: 1, max: 65_535 });
        i += 2;
      } else if (word === "force" && !forces) forces = true;
      else throw syntaxError();
    }
    if (aborts) throw new CommandError("ERR No failover in progress.");
    if (forces && (!to || timeout === undefined))
      throw new CommandError("ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
    throw new CommandError("ERR FAILOVER requires connected replicas.");
  },
};

const wait: Command = {
  name: "wait",
  arity: 3,
  flags: ["noscript"],
  group: "generic",
  summary: "Waits until replicas have what this connection has written; how many have.",
  since: "3.0.0",
  categories: ["connection"],
  run(client, request) {
    const replicas = integerAt(request, 1);
    const timeoutMs = integerAt(request, 2, { error: "ERR timeout is not an integer or out of range" });
    if (timeoutMs < 0) throw new CommandError("ERR timeout is negative");
    if (replicas < 0) throw notAnInteger();
    if (replicas === 0 || client.transaction !== undefined || timeoutMs === 0) return client.reply.integer(0);
    const timedOut = (): void => client.reply.integer(0);
    client.store.blocked.add(client, {
      db: client.db,
      keys: [],
      serve: () => false,
      timedOut,
      reason: "replicas",
      timer: client.store.clock.timer(timeoutMs, () => {
        timedOut();
        client.store.blocked.release(client);
      }),
    });
  },
};

export const REPLICATION_COMMANDS: readonly Command[] = [failover, replicaof("replicaof", "5.0.0"), replicaof("slaveof", "1.0.0"), wait];
