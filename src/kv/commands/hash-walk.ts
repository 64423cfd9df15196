import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { HASH_TYPE } from "../keyspace/value.ts";
import type { HashValue } from "../types/hash-value.ts";
import { samplePositions } from "../types/sample.ts";
import { keyAt, type Command } from "./command.ts";
import { replyScanned, scanOptionsAt } from "./scan-options.ts";
import { randomCountAt } from "./set-random.ts";

/** With values the reply is twice as long, and its length must still be an integer. */
const COUNT_WITH_VALUES_MAX = 2 ** 62;

const hscan: Command = {
  name: "hscan",
  arity: -3,
  flags: ["readonly"],
  group: "hash",
  summary: "Goes through the fields of a hash, some with each call.",
  since: "2.8.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const { cursor, count, matches } = scanOptionsAt(request, 2);
    const hash = client.readValue<HashValue>(request, 1, HASH_TYPE);
    const found: string[] = [];
    const next = hash?.scan(cursor, count, (position) => {
      const field = hash.fieldAt(position);
      if (matches(field)) found.push(field, hash.valueAt(position));
    });
    replyScanned(client, next ?? 0, found);
  },
};

const hrandfield: Command = {
  name: "hrandfield",
  arity: -2,
  flags: ["readonly"],
  group: "hash",
  summary: "Fields of a hash by chance.",
  since: "6.2.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    if (request.count === 2) {
      const hash = client.readValue<HashValue>(request, 1, HASH_TYPE);
      return client.reply.bulkOrNull(hash?.fieldAt(Math.floor(Math.random() * hash.size)));
    }
    const count = randomCountAt(request, 2);
    const withValues = request.count > 3;
    if (request.count > 4 || (withValues && request.word(3) !== "withvalues")) throw syntaxError();
    if (withValues && Math.abs(count) >= COUNT_WITH_VALUES_MAX) throw new CommandError("ERR value is out of range");
    replyFields(client, request, count, withValues);
  },
};

function replyFields(client: Client, request: Request, count: number, withValues: boolean): void {
  const { reply } = client;
  const hash = client.readValue<HashValue>(request, 1, HASH_TYPE);
  if (hash === undefined) return reply.array(0);
  const one = (position: number): void => {
    if (withValues && reply.protocol === 3) reply.array(2);
    reply.bulk(hash.fieldAt(position));
    if (withValues) reply.bulk(hash.valueAt(position));
  };
  const found = count < 0 ? -count : Math.min(count, hash.size);
  reply.array(withValues && reply.protocol === 2 ? 2 * found : found);
  if (count < 0) for (let i = 0; i < found; i++) one(Math.floor(Math.random() * hash.size));
  else if (found === hash.size) for (let i = 0; i < found; i++) one(i);
  else for (const position of samplePositions(hash.size, found, Math.random)) one(position);
}

export const HASH_WALK_COMMANDS: readonly Command[] = [hrandfield, hscan];
