import { ownOf } from "../../base/own.ts";
import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../client.ts";
import { CommandError } from "../command-error.ts";

const TYPES: Readonly<Record<string, (client: Client) => boolean>> = {
  normal: (client) => client.subscriptions === undefined && !client.monitors,
  pubsub: (client) => client.subscriptions !== undefined,
  master: () => false,
  replica: (client) => client.monitors,
  slave: (client) => client.monitors,
};

/** What `TYPE …` selects. Throws `ERR Unknown client type '…'`. */
export function clientTypeAt(request: Request, index: number): (client: Client) => boolean {
  const type = ownOf(TYPES, request.word(index));
  if (type === undefined) throw new CommandError(`ERR Unknown client type '${request.text(index)}'`);
  return type;
}
