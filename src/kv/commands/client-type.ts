import { ownOf } from "../../base/own.ts";
import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError } from "../command-error.ts";

const TYPES: Readonly<Record<string, (client: Client) => boolean>> = {
  normal: (client) => client.subscriptions === undefined && !isReplica(client) && !client.isPrimary,
  pubsub: (client) => client.subscriptions !== undefined,
  master: ({ isPrimary }) => isPrimary,
  replica: isReplica,
  slave: isReplica,
};

function isReplica(client: Client): boolean {
  return client.monitors || client.replica !== undefined;
}

/** What `TYPE …` selects. Throws `ERR Unknown client type '…'`. */
export function clientTypeAt(request: Request, index: number): (client: Client) => boolean {
  const type = ownOf(TYPES, request.word(index));
  if (type === undefined) throw new CommandError(`ERR Unknown client type '${request.text(index)}'`);
  return type;
}
