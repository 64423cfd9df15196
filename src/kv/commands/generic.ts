import { keysFrom, type Command } from "./command.ts";

const deletes = (name: "del" | "unlink", flags: Command["flags"], since: string): Command => ({
  name,
  arity: -2,
  flags,
  group: "generic",
  summary: "Deletes keys.",
  since,
  keys: keysFrom(1, 1, "RM", "delete"),
  run(client, request) {
    let deleted = 0;
    for (let i = 1; i < request.count; i++) {
      const address = client.db.peek(request, i);
      if (address === 0) continue;
      client.removed(request, i, address);
      deleted++;
    }
    client.reply.integer(deleted);
  },
});

const exists: Command = {
  name: "exists",
  arity: -2,
  flags: ["readonly", "fast"],
  group: "generic",
  summary: "How many of these keys are there.",
  since: "1.0.0",
  keys: keysFrom(1, 1, "RO"),
  run(client, request) {
    let found = 0;
    for (let i = 1; i < request.count; i++) if (client.db.peek(request, i) !== 0) found++;
    client.reply.integer(found);
  },
};

const dbsize: Command = {
  name: "dbsize",
  arity: 1,
  flags: ["readonly", "fast"],
  group: "server",
  summary: "How many keys the database has.",
  since: "1.0.0",
  run: (client) => client.reply.integer(client.db.count),
};

export const GENERIC_COMMANDS: readonly Command[] = [
  deletes("del", ["write"], "1.0.0"),
  deletes("unlink", ["write", "fast"], "4.0.0"),
  exists,
  dbsize,
];
