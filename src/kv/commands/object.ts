import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError } from "../command-error.ts";
import type { Address } from "../keyspace/arena.ts";
import { frequencyOf, idleSecondsOf } from "../keyspace/usage.ts";
import { safeIntegerIn } from "../numbers.ts";
import { keyAt, type Command } from "./command.ts";
import { encodingOf } from "./generic.ts";
import { helpOf } from "./help.ts";

/** Redis has one object for each of the integers below, which all keys share, and no count of who does. */
const SHARED_INTEGERS = 10_000;
const SHARED_COUNT = 2_147_483_647;

const SWITCHED = "Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";
const NOT_LFU = `ERR An LFU maxmemory policy is not selected, access frequency not tracked. ${SWITCHED}`;
const LFU = `ERR An LFU maxmemory policy is selected, idle time not tracked. ${SWITCHED}`;

const about = (name: string, since: string, summary: string, answer: (client: Client, address: Address) => void): Command => ({
  name: `object|${name}`,
  arity: 3,
  flags: ["readonly"],
  group: "generic",
  summary,
  since,
  keys: keyAt(2, "RO"),
  run(client: Client, request: Request) {
    const address = client.db.peek(request, 2);
    if (address === 0) client.reply.null();
    else answer(client, address);
  },
});

const policyOf = ({ store }: Client): string => store.parameters["maxmemory-policy"];

const OBJECT: Command = {
  name: "object",
  arity: -2,
  flags: [],
  group: "generic",
  summary: "Details of how a key is kept.",
  since: "2.2.3",
  subcommands: [
    about("encoding", "2.2.3", "How the value of a key is kept.", ({ db, reply }, address) => reply.bulk(encodingOf(db, address))),
    about("freq", "4.0.0", "How often a key is used, as a logarithm.", (client, address) => {
      if (!policyOf(client).endsWith("-lfu")) throw new CommandError(NOT_LFU);
      const { db, store } = client;
      client.reply.integer(frequencyOf(db.useBitsOf(address), store.nowMs, store.parameters["lfu-decay-time"]));
    }),
    about("idletime", "2.2.3", "Seconds since a key was used.", (client, address) => {
      if (policyOf(client).endsWith("-lfu")) throw new CommandError(LFU);
      client.reply.integer(idleSecondsOf(client.db.useBitsOf(address), client.store.nowMs));
    }),
    about("refcount", "2.2.3", "How many hold the value of a key.", (client, address) =>
      client.reply.integer(isShared(client, address) ? SHARED_COUNT : 1),
    ),
    helpOf("object", "generic", "6.2.0", [
      "ENCODING <key>",
      "    How the value of the key is kept.",
      "FREQ <key>",
      "    How often the key is used, as a logarithm.",
      "IDLETIME <key>",
      "    Seconds since the key was used.",
      "REFCOUNT <key>",
      "    How many hold the value of the key.",
    ]),
  ],
};

/** As long as no policy needs to know when each was used. */
function isShared(client: Client, address: Address): boolean {
  const { db, store } = client;
  if (db.objectOf(address) !== undefined || db.isRaw(address)) return false;
  if (store.parameters.maxmemory > 0 && /-l[rf]u$/.test(policyOf(client))) return false;
  const value = safeIntegerIn(db.segmentOf(address), db.stringFrom(address), db.stringBytesOf(address));
  return value >= 0 && value < SHARED_INTEGERS;
}

export const OBJECT_COMMANDS: readonly Command[] = [OBJECT];
