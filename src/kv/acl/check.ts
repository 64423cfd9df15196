import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import type { Command } from "../commands/command.ts";
import type { User } from "./user.ts";

/** Undefined: the client's user may run this. Else the error, and the refusal is in the log. */
export function forbidden(client: Client, command: Command, request: Request): string | undefined {
  const denial = client.user.denialOf(command, request);
  if (denial === undefined) return undefined;
  client.store.acl.deny(client, denial.reason, denial.reason === "command" ? command.name : denial.object);
  if (denial.reason === "command") return `NOPERM this user has no permissions to run the '${command.name}' command`;
  return `NOPERM this user has no permissions to access one of the ${denial.reason}s used as arguments`;
}

/** Closes connections that listen to what their user may not hear any more. */
export function dropListeners(clients: Iterable<Client>, user: User): void {
  for (const client of clients) {
    const { subscriptions } = client;
    if (client.user !== user || subscriptions === undefined) continue;
    const selectors = [user.root, ...user.selectors];
    const mayHear = (name: string, isPattern: boolean): boolean => selectors.some((selector) => selector.allowsChannel(name, isPattern));
    const keeps =
      [...subscriptions.channels, ...subscriptions.shards].every((name) => mayHear(name, false)) &&
      [...subscriptions.patterns].every((name) => mayHear(name, true));
    if (!keeps) client.output.close();
  }
}
