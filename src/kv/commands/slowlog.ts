import { integerAt } from "../numbers.ts";
import type { Command } from "./command.ts";
import { helpOf } from "./help.ts";

const FLAGS = ["admin", "loading", "stale"] as const;
const SHOWN_DEFAULT = 10;

const get: Command = {
  name: "slowlog|get",
  arity: -2,
  flags: FLAGS,
  group: "server",
  summary: "The last commands that took long; -1: all of them.",
  since: "2.2.12",
  run({ store, reply }, request) {
    const error = "ERR count should be greater than or equal to -1";
    const count = request.count > 2 ? integerAt(request, 2, { min: -1, error }) : SHOWN_DEFAULT;
    const { entries } = store.slowLog;
    const shown = count < 0 ? entries : entries.slice(0, count);
    reply.array(shown.length);
    for (const entry of shown) {
      reply.array(6);
      reply.integer(entry.id);
      reply.integer(entry.at);
      reply.integer(entry.durationUs);
      reply.bulks(entry.arguments);
      reply.bulk(entry.address);
      reply.bulk(entry.name);
    }
  },
};

const len: Command = {
  name: "slowlog|len",
  arity: 2,
  flags: FLAGS,
  group: "server",
  summary: "How many commands the log of slow ones has.",
  since: "2.2.12",
  run: ({ store, reply }) => reply.integer(store.slowLog.entries.length),
};

const reset: Command = {
  name: "slowlog|reset",
  arity: 2,
  flags: FLAGS,
  group: "server",
  summary: "Empties the log of slow commands.",
  since: "2.2.12",
  run({ store, reply }) {
    store.slowLog.clear();
    reply.ok();
  },
};

export const SLOWLOG: Command = {
  name: "slowlog",
  arity: -2,
  flags: [],
  group: "server",
  summary: "Commands that took long.",
  since: "2.2.12",
  subcommands: [
    get,
    helpOf("slowlog", "server", "6.2.0", [
      "GET [<count>]",
      "    The last <count> entries (default: 10, -1: all): id, time, microseconds, arguments, address, name.",
      "LEN",
      "    How many entries there are.",
      "RESET",
      "    Empties the log.",
    ]),
    len,
    reset,
  ],
};
