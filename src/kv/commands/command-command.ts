import { CATEGORIES, categoriesOf } from "../acl/categories.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { matchesGlob } from "../glob.ts";
import { Request } from "../../wire/resp/request.ts";
import type { Command, KeySpec } from "./command.ts";
import { hasMovableKeys, keysOf, type FoundKey } from "./found-keys.ts";
import { helpOf } from "./help.ts";

const FLAGS = ["loading", "stale"] as const;

const subcommand = (name: string, arity: number, about: Pick<Command, "summary" | "since">, run: NonNullable<Command["run"]>): Command => ({
  name: `command|${name}`,
  arity,
  flags: FLAGS,
  group: "server",
  ...about,
  run,
});

const count = subcommand("count", 2, { summary: "How many commands there are.", since: "2.8.13" }, ({ store, reply }) =>
  reply.integer(store.commands.all.size),
);

const list = subcommand(
  "list",
  -2,
  { summary: "Names of commands: all, of a category, or by a pattern.", since: "7.0.0" },
  ({ store, reply }, request) => {
    const all = [...store.commands.all.values()];
    if (request.count === 2) return reply.bulks(all.flatMap((command) => namesOf(command)));
    if (request.count !== 5 || request.word(2) !== "filterby") throw syntaxError();
    const value = request.text(4).toLowerCase();
    const each = all.flatMap((command) => [command, ...(command.subcommands ?? [])]);
    switch (request.word(3)) {
      case "module":
        return reply.bulks([]);
      case "aclcat":
        return reply.bulks(each.filter((command) => categoriesOf(command).has(value)).map(({ name }) => name));
      case "pattern":
        return reply.bulks(each.filter(({ name }) => matchesGlob(value, name)).map(({ name }) => name));
      default:
        throw syntaxError();
    }
  },
);

const namesOf = ({ name, subcommands = [] }: Command): string[] => [name, ...subcommands.map((sub) => sub.name)];

function named(client: Client, name: string): Command | undefined {
  const [parent, sub, ...more] = name.toLowerCase().split("|");
  const found = client.store.commands.all.get(parent!);
  if (sub === undefined || more.length > 0) return more.length > 0 ? undefined : found;
  return found?.subcommands?.find((each) => each.name === `${parent}|${sub}`);
}

const info = subcommand("info", -2, { summary: "Details of commands, for routers and libraries.", since: "2.8.13" }, (client, request) => {
  if (request.count === 2) return replyAll(client);
  client.reply.array(request.count - 2);
  for (const name of request.texts(2)) {
    const found = named(client, name);
    if (found === undefined) client.reply.nullArray();
    else replyInfo(client, found);
  }
});

function replyAll(client: Client): void {
  client.reply.array(client.store.commands.all.size);
  for (const command of client.store.commands.all.values()) replyInfo(client, command);
}

function replyInfo(client: Client, command: Command): void {
  const { reply } = client;
  const { name, arity, flags, keys = [], subcommands = [] } = command;
  const [first, last, step] = rangeOf(keys);
  reply.array(10);
  reply.bulk(name);
  reply.integer(arity);
  const shown = hasMovableKeys(command) ? [...flags, "movablekeys"] : flags;
  reply.set(shown.length);
  for (const flag of shown) reply.simple(flag);
  reply.integer(first);
  reply.integer(last);
  reply.integer(step);
  const categories = [...categoriesOf(command)];
  reply.set(categories.length);
  for (const category of categories) reply.simple(`@${category}`);
  reply.array(0);
  reply.array(keys.length);
  for (const spec of keys) replySpec(client, spec);
  reply.array(subcommands.length);
  for (const each of subcommands) replyInfo(client, each);
}

/** First, last and step of the keys as far as one range describes them; 0 where none does. */
function rangeOf(keys: readonly KeySpec[]): readonly [number, number, number] {
  const spec = keys[0];
  if (spec === undefined || spec.begin === "unknown" || !("index" in spec.begin) || spec.find === "unknown" || !("last" in spec.find))
    return [0, 0, 0];
  const { last, step } = spec.find;
  return [spec.begin.index, last >= 0 ? spec.begin.index + last : last, step];
}

function replySpec({ reply }: Client, { flags, begin, find }: KeySpec): void {
  reply.map(3);
  reply.bulk("flags");
  reply.set(flags.length);
  for (const flag of flags) reply.simple(flag);
  const part = (name: string, type: string, spec: Readonly<Record<string, number | string>>): void => {
    reply.bulk(name);
    reply.map(2);
    reply.bulk("type");
    reply.bulk(type);
    reply.bulk("spec");
    reply.map(Object.keys(spec).length);
    for (const [key, value] of Object.entries(spec)) {
      reply.bulk(key);
      if (typeof value === "number") reply.integer(value);
      else reply.bulk(value);
    }
  };
  if (begin === "unknown") part("begin_search", "unknown", {});
  else if ("index" in begin) part("begin_search", "index", { index: begin.index });
  else part("begin_search", "keyword", { keyword: begin.keyword, startfrom: begin.from });
  if (find === "unknown") part("find_keys", "unknown", {});
  else if ("last" in find) part("find_keys", "range", { lastkey: find.last, keystep: find.step, limit: find.limit ?? 0 });
  else part("find_keys", "keynum", { keynumidx: find.countAt, firstkey: find.first, keystep: find.step });
}

const docs = subcommand("docs", -2, { summary: "What commands are for.", since: "7.0.0" }, (client, request) => {
  const found =
    request.count === 2
      ? [...client.store.commands.all.values()]
      : request
          .texts(2)
          .map((name) => named(client, name))
          .filter((command) => command !== undefined);
  client.reply.map(found.length);
  for (const command of found) replyDocs(client, command);
});

function replyDocs(client: Client, { name, summary, since, group, subcommands = [] }: Command): void {
  const { reply } = client;
  reply.bulk(name);
  reply.map(subcommands.length > 0 ? 4 : 3);
  for (const [field, value] of [
    ["summary", summary],
    ["since", since],
    ["group", group],
  ] as const) {
    reply.bulk(field);
    reply.bulk(value);
  }
  if (subcommands.length === 0) return;
  reply.bulk("subcommands");
  reply.map(subcommands.length);
  for (const each of subcommands) replyDocs(client, each);
}

/** The keys of the call that follows from this argument on. */
function keysIn(client: Client, request: Request, from: number): { readonly call: Request; readonly keys: readonly FoundKey[] } {
  const call = Request.of(request.texts(from));
  const command = client.store.commands.find(call);
  if (command === undefined) throw new CommandError("ERR Invalid command specified");
  if (command.keys === undefined && command.keysOf === undefined) throw new CommandError("ERR The command has no key arguments");
  if (command.arity > 0 ? call.count !== command.arity : call.count < -command.arity)
    throw new CommandError("ERR Invalid number of arguments specified for command");
  const keys = keysOf(command, call);
  if (keys.length === 0 && !command.flags.includes("no_mandatory_keys"))
    throw new CommandError("ERR Invalid arguments specified for command");
  return { call, keys };
}

const getkeys = subcommand("getkeys", -3, { summary: "The keys of a call.", since: "2.8.13" }, (client, request) => {
  const { call, keys } = keysIn(client, request, 2);
  client.reply.bulks(keys.map(({ index }) => call.text(index)));
});

const getkeysandflags = subcommand(
  "getkeysandflags",
  -3,
  { summary: "The keys of a call, and what is done with them.", since: "7.0.0" },
  (client, request) => {
    const { call, keys } = keysIn(client, request, 2);
    const { reply } = client;
    reply.array(keys.length);
    for (const { index, flags } of keys) {
      reply.array(2);
      reply.bulk(call.text(index));
      reply.set(flags.length);
      for (const flag of flags) reply.simple(flag);
    }
  },
);

export const COMMAND: Command = {
  name: "command",
  arity: -1,
  flags: FLAGS,
  group: "server",
  summary: "Details of all commands.",
  since: "2.8.13",
  categories: ["connection"],
  run: (client) => replyAll(client),
  subcommands: [
    count,
    docs,
    getkeys,
    getkeysandflags,
    helpOf("command", "server", "5.0.0", [
      "(no subcommand)",
      "    Details of all commands.",
      "COUNT",
      "    How many commands there are.",
      "DOCS [<command-name> [...]]",
      "    What commands are for.",
      "GETKEYS <full-command>",
      "    The keys of a call.",
      "GETKEYSANDFLAGS <full-command>",
      "    The keys of a call, and what is done with them.",
      "INFO [<command-name> ...]",
      "    Details of commands.",
      "LIST [FILTERBY (MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>)]",
      `    Names of commands. Categories: ${CATEGORIES.join(", ")}.`,
    ]),
    info,
    list,
  ],
};
