import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { integerAt } from "../numbers.ts";
import { clientTypeAt } from "./client-type.ts";
import type { Command } from "./command.ts";

export const CLIENT_KILL: Command = {
  name: "client|kill",
  arity: -3,
  flags: ["admin", "noscript", "loading", "stale"],
  group: "connection",
  summary: "Closes connections.",
  since: "2.4.0",
  run(client, request) {
    if (request.count === 3) return killOne(client, request.text(2));
    const { isWanted, sparesMe } = filtersOf(client, request);
    let killed = 0;
    for (const each of client.store.clients.values()) {
      if (!isWanted(each) || (sparesMe && each === client)) continue;
      kill(each, client);
      killed++;
    }
    client.reply.integer(killed);
  },
};

function killOne(client: Client, address: string): void {
  const found = [...client.store.clients.values()].find((each) => each.address === address);
  if (found === undefined) throw new CommandError("ERR No such client");
  client.reply.ok();
  kill(found, client);
}

/** Closes it; the one that asks for its own end gets its answer first. */
function kill(target: Client, by: Client): void {
  if (target === by) target.closing = true;
  else target.output.close();
}

interface Filters {
  readonly isWanted: (client: Client) => boolean;
  readonly sparesMe: boolean;
}

function filtersOf(client: Client, request: Request): Filters {
  const filters: ((each: Client) => boolean)[] = [];
  let sparesMe = true;
  if (request.count % 2 !== 0) throw syntaxError();
  for (let i = 2; i < request.count; i += 2) {
    const value = request.text(i + 1);
    switch (request.word(i)) {
      case "id": {
        const id = integerAt(request, i + 1, { min: 1, error: "ERR client-id should be greater than 0" });
        filters.push((each) => each.id === id);
        break;
      }
      case "addr":
        filters.push((each) => each.address === value);
        break;
      case "laddr":
        filters.push((each) => each.output.peer?.localAddress === value);
        break;
      case "type":
        filters.push(clientTypeAt(request, i + 1));
        break;
      case "user": {
        if (client.store.acl.get(value) === undefined) throw new CommandError(`ERR No such user '${value}'`);
        filters.push((each) => each.userName === value);
        break;
      }
      case "maxage": {
        const seconds = integerAt(request, i + 1, { min: 1, error: "ERR maxage should be greater than 0" });
        filters.push((each) => (client.store.nowMs - each.createdMs) / 1000 >= seconds);
        break;
      }
      case "skipme": {
        const word = value.toLowerCase();
        if (word !== "yes" && word !== "no") throw syntaxError();
        sparesMe = word === "yes";
        break;
      }
      default:
        throw syntaxError();
    }
  }
  return { isWanted: (each) => filters.every((filter) => filter(each)), sparesMe };
}
