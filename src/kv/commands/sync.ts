import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { int64Of, integerAt } from "../numbers.ts";
import type { Replication } from "../replica/replication.ts";
import type { Command } from "./command.ts";

const SYNC_FLAGS = ["admin", "noscript", "no_async_loading", "no_multi"] as const;

function replicationOf(client: Client): Replication {
  const { replication } = client.store;
  if (replication === undefined) throw new CommandError("ERR This server has no replicas");
  if (replication.failover.state !== "no-failover") throw new CommandError("NOMASTERLINK Can't SYNC while failing over");
  if (replication.link !== undefined && replication.link.state !== "connected")
    throw new CommandError("NOMASTERLINK Can't SYNC while not connected with my master");
  return replication;
}

const sync: Command = {
  name: "sync",
  arity: 1,
  flags: SYNC_FLAGS,
  group: "server",
  summary: "Sends all data, and then whatever is changed; as replicas before 2.8 ask for it.",
  since: "1.0.0",
  run(client) {
    if (client.replica === undefined) replicationOf(client).primary.attach(client, true);
  },
};

const psync: Command = {
  name: "psync",
  arity: -3,
  flags: SYNC_FLAGS,
  group: "server",
  summary: "Sends what follows an offset of the history, or all data and what follows.",
  since: "2.8.0",
  run(client, request) {
    if (client.replica !== undefined) return;
    if (request.count > 3 && request.word(3) === "failover") leadAsAsked(client, request.text(1));
    const { primary } = replicationOf(client);
    const offset = int64Of(request.text(2));
    if (offset === undefined) throw new CommandError("ERR value is not an integer or out of range");
    if (!primary.resume(client, request.text(1), Number(offset))) primary.attach(client, false);
  },
};

/** The primary hands its role over to this server. */
function leadAsAsked({ store: { replication, replicationId } }: Client, id: string): void {
  if (replication === undefined) throw new CommandError("ERR This server has no replicas");
  if (replication.link === undefined) {
    // It asks again where the answer got lost on its way.
    if (id === replication.primary.before.id) return;
    throw new CommandError("ERR PSYNC FAILOVER can't be sent to a master.");
  }
  if (id !== replicationId) throw new CommandError("ERR PSYNC FAILOVER replid must match my replid.");
  replication.lead();
}

const replconf: Command = {
  name: "replconf",
  arity: -1,
  flags: ["admin", "noscript", "loading", "stale"],
  group: "server",
  summary: "What replicas tell of themselves.",
  since: "3.0.0",
  run(client, request) {
    if (request.count % 2 === 0) throw syntaxError();
    for (let i = 1; i < request.count; i += 2) {
      switch (request.word(i)) {
        case "listening-port":
          client.offers = { ...client.offers, port: integerAt(request, i + 1, { min: 0, max: 65_535 }) };
          break;
        case "ip-address":
          client.offers = { ...client.offers, host: request.text(i + 1) };
          break;
        case "capa":
          if (request.word(i + 1) === "eof") client.offers = { ...client.offers, eof: true };
          else if (request.word(i + 1) === "psync2") client.offers = { ...client.offers, psync2: true };
          break;
        case "ack": {
          const fack = request.count > i + 3 && request.word(i + 2) === "fack" ? integerAt(request, i + 3) : undefined;
          client.store.replication?.primary.acknowledged(client, integerAt(request, i + 1), fack);
          client.store.waits.serve();
          client.store.replication?.failover.tick();
          return;
        }
        case "getack":
          return client.store.replication?.link?.acknowledge();
        case "rdb-only":
        case "rdb-filter-only":
        case "version":
          break;
        default:
          throw new CommandError(`ERR Unrecognized REPLCONF option: ${request.text(i)}`);
      }
    }
    client.reply.ok();
  },
};

export const SYNC_COMMANDS: readonly Command[] = [psync, replconf, sync];
