import { randomBytes } from "node:crypto";
import { replaceFileSync } from "../../disk/atomic-replace.ts";
import { mergedRules } from "../acl/acl.ts";
import { CATEGORIES, categoriesOf } from "../acl/categories.ts";
import { dropListeners } from "../acl/check.ts";
import type { Selector } from "../acl/selector.ts";
import type { Client } from "../clients/client.ts";
import { CommandError } from "../command-error.ts";
import { integerAt } from "../numbers.ts";
import { Request } from "../../wire/resp/request.ts";
import type { Command, CommandFlag } from "./command.ts";
import { helpOf } from "./help.ts";

const ADMIN: readonly CommandFlag[] = ["admin", "noscript", "loading", "stale"];
const OPEN: readonly CommandFlag[] = ["noscript", "loading", "stale"];

const subcommand = (
  name: string,
  arity: number,
  about: { readonly summary: string; readonly flags?: readonly CommandFlag[] },
  run: NonNullable<Command["run"]>,
): Command => ({ name: `acl|${name}`, arity, flags: about.flags ?? ADMIN, group: "server", summary: about.summary, since: "6.0.0", run });

const setuser = subcommand("setuser", -3, { summary: "Changes a user, or makes one." }, (client, request) => {
  const { acl, clients } = client.store;
  const name = request.text(2);
  for (let i = 2; i < request.count; i++) client.redact(i);
  if (/[\s\0]/.test(name)) throw new CommandError("ERR Usernames can't contain spaces or null characters");
  const rules = mergedRules(request.texts(3));
  if (typeof rules === "string") throw new CommandError(`ERR ${rules}`);
  const user = acl.set(name, rules);
  dropListeners(clients.values(), user);
  if (name === "default") client.store.passwordChanged();
  client.reply.ok();
});

const deluser = subcommand("deluser", -3, { summary: "Deletes users, and closes their connections." }, (client, request) => {
  const { acl, clients } = client.store;
  for (let i = 2; i < request.count; i++) client.redact(i);
  const names = request.texts(2);
  if (names.includes("default")) throw new CommandError("ERR The 'default' user cannot be removed");
  let deleted = 0;
  for (const name of names) {
    const user = acl.get(name);
    if (user === undefined) continue;
    acl.delete(name);
    deleted++;
    for (const each of clients.values()) if (each.user === user) closeAfter(each, client);
  }
  client.reply.integer(deleted);
});

/** The one that has caused its own end gets its answer first. */
function closeAfter(target: Client, by: Client): void {
  target.user = by.store.acl.default;
  target.known = false;
  if (target === by) target.closing = true;
  else target.output.close();
}

const getuser = subcommand("getuser", 3, { summary: "The rules of a user." }, ({ store, reply }, request) => {
  const user = store.acl.get(request.text(2));
  if (user === undefined) return reply.null();
  reply.map(6);
  reply.bulk("flags");
  reply.set(user.flags.length);
  for (const flag of user.flags) reply.bulk(flag);
  reply.bulk("passwords");
  reply.bulks([...user.passwords]);
  replySelector(user.root);
  reply.bulk("selectors");
  reply.array(user.selectors.length);
  for (const selector of user.selectors) {
    reply.map(3);
    replySelector(selector);
  }

  function replySelector({ commandRules, keyRules, channelRules }: Selector): void {
    for (const part of ["commands", commandRules, "keys", keyRules, "channels", channelRules]) reply.bulk(part);
  }
});

const list = subcommand("list", 2, { summary: "All users with their rules." }, ({ store, reply }) =>
  reply.bulks([...store.acl.users.values()].map(({ line }) => line)),
);

const users = subcommand("users", 2, { summary: "The names of all users." }, ({ store, reply }) =>
  reply.bulks([...store.acl.users.keys()]),
);

const whoami = subcommand("whoami", 2, { summary: "The user of this connection.", flags: OPEN }, (client) =>
  client.reply.bulk(client.userName),
);

const cat = subcommand(
  "cat",
  -2,
  { summary: "Categories of commands, or the commands of one.", flags: OPEN },
  ({ store, reply }, request) => {
    if (request.count > 3) throw new CommandError("ERR unknown subcommand or wrong number of arguments for 'CAT'. Try ACL HELP.");
    if (request.count === 2) return reply.bulks(CATEGORIES);
    const category = request.word(2);
    if (!(CATEGORIES as readonly string[]).includes(category)) throw new CommandError(`ERR Unknown category '${request.text(2)}'`);
    const all = [...store.commands.all.values()].flatMap((command) => [command, ...(command.subcommands ?? [])]);
    reply.bulks(all.filter((command) => categoriesOf(command).has(category)).map(({ name }) => name));
  },
);

const BITS_DEFAULT = 256;
const BITS_MAX = 4096;

const genpass = subcommand("genpass", -2, { summary: "A password that nobody can guess.", flags: OPEN }, ({ reply }, request) => {
  const error = `ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to ${BITS_MAX}`;
  const bits = request.count > 2 ? integerAt(request, 2, { error }) : BITS_DEFAULT;
  if (bits <= 0 || bits > BITS_MAX || request.count > 3) throw new CommandError(error);
  const digits = Math.ceil(bits / 4);
  reply.bulk(
    randomBytes(Math.ceil(digits / 2))
      .toString("hex")
      .slice(0, digits),
  );
});

const LOG_SHOWN_DEFAULT = 10;

const log = subcommand("log", -2, { summary: "What was not allowed." }, ({ store, reply }, request) => {
  if (request.count > 3) throw new CommandError("ERR unknown subcommand or wrong number of arguments for 'LOG'. Try ACL HELP.");
  if (request.count === 3 && request.word(2) === "reset") {
    store.acl.clearLog();
    return reply.ok();
  }
  const count = request.count === 3 ? Math.max(0, integerAt(request, 2)) : LOG_SHOWN_DEFAULT;
  const entries = store.acl.log.slice(0, count);
  reply.array(entries.length);
  for (const entry of entries) {
    reply.map(10);
    reply.bulk("count");
    reply.integer(entry.count);
    for (const part of ["reason", entry.reason, "context", entry.context, "object", entry.object, "username", entry.userName])
      reply.bulk(part);
    reply.bulk("age-seconds");
    reply.double((store.nowMs - entry.createdMs) / 1000);
    reply.bulk("client-info");
    reply.bulk(entry.clientInfo);
    for (const [name, value] of [
      ["entry-id", entry.id],
      ["timestamp-created", entry.createdMs],
      ["timestamp-last-updated", entry.updatedMs],
    ] as const) {
      reply.bulk(name);
      reply.integer(value);
    }
  }
});

const dryrun = subcommand("dryrun", -4, { summary: "Whether a user may do something, without doing it." }, ({ store, reply }, request) => {
  const user = store.acl.get(request.text(2));
  if (user === undefined) throw new CommandError(`ERR User '${request.text(2)}' not found`);
  const call = Request.of(request.texts(3));
  const command = store.commands.find(call);
  if (command === undefined) throw new CommandError(`ERR Command '${request.text(3)}' not found`);
  if (command.arity > 0 ? call.count !== command.arity : call.count < -command.arity)
    throw new CommandError(`ERR wrong number of arguments for '${command.name}' command`);
  const denial = user.denialOf(command, call);
  if (denial === undefined) reply.ok();
  else if (denial.reason === "command") reply.bulk(`This user has no permissions to run the '${command.name}' command`);
  else reply.bulk(`This user has no permissions to access the '${denial.object}' ${denial.reason}`);
});

const NO_FILE =
  "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG " +
  "REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.";

function fileOf(client: Client): string {
  const file = client.store.parameters.aclfile;
  if (file === "") throw new CommandError(NO_FILE);
  return file;
}

const save = subcommand("save", 2, { summary: "Writes the users to the file." }, (client) => {
  const file = fileOf(client);
  try {
    replaceFileSync(file, client.store.acl.text, { mode: 0o600 });
  } catch {
    throw new CommandError("ERR There was an error trying to save the ACLs. Please check the server logs for more information");
  }
  client.reply.ok();
});

const load = subcommand("load", 2, { summary: "Takes the users of the file in place of those that are there." }, (client) => {
  client.store.loadUsers(fileOf(client), client);
  client.reply.ok();
});

export const ACL: Command = {
  name: "acl",
  arity: -2,
  flags: [],
  group: "server",
  summary: "Users and what they may do.",
  since: "6.0.0",
  subcommands: [
    cat,
    deluser,
    dryrun,
    genpass,
    getuser,
    helpOf("acl", "server", "6.0.0", [
      "CAT [<category>]",
      "    Categories of commands, or the commands of one.",
      "DELUSER <username> [<username> ...]",
      "    Deletes users.",
      "DRYRUN <username> <command> [<arg> ...]",
      "    Whether a user may do something.",
      "GETUSER <username>",
      "    The rules of a user.",
      "GENPASS [<bits>]",
      "    A password (default: 256 bits).",
      "LIST",
      "    All users with their rules.",
      "LOAD",
      "    Takes the users of the file.",
      "LOG [<count> | RESET]",
      "    What was not allowed.",
      "SAVE",
      "    Writes the users to the file.",
      "SETUSER <username> <attribute> [<attribute> ...]",
      "    Changes a user, or makes one.",
      "USERS",
      "    The names of all users.",
      "WHOAMI",
      "    The user of this connection.",
    ]),
    list,
    load,
    log,
    save,
    setuser,
    users,
    whoami,
  ],
};
