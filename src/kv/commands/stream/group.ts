import type { Request } from "../../../wire/resp/request.ts";
import type { Client } from "../../clients/client.ts";
import { CommandError, syntaxError } from "../../command-error.ts";
import { STREAM } from "../../keyspace/value.ts";
import { integerAt } from "../../numbers.ts";
import { StreamGroup } from "../../types/stream-group.ts";
import { StreamValue } from "../../types/stream.ts";
import { ID_MAX, ID_MIN, type StreamId } from "../../types/stream-id.ts";
import { keyAt, type Command, type KeyFlag } from "../command.ts";
import { helpOf } from "../help.ts";
import { strictId } from "./ids.ts";

const subcommand = (
  name: string,
  arity: number,
  details: Pick<Command, "summary" | "since" | "run"> & { readonly key: KeyFlag },
): Command => ({
  name: `xgroup|${name}`,
  arity,
  flags: name === "create" || name === "createconsumer" ? ["write", "denyoom"] : ["write"],
  group: "stream",
  summary: details.summary,
  since: details.since,
  keys: keyAt(2, "RW", details.key),
  run: details.run!,
});

const create = subcommand("create", -5, {
  key: "insert",
  summary: "Makes a group that reads from an id on.",
  since: "5.0.0",
  run(client, request) {
    let makeStream = false;
    let entriesRead: number | undefined;
    for (let i = 5; i < request.count; i++) {
      const word = request.word(i);
      if (word === "mkstream") makeStream = true;
      else if (word === "entriesread" && i + 1 < request.count) entriesRead = entriesReadAt(request, ++i);
      else throw syntaxError();
    }
    const existing = client.findValue<StreamValue>(request, 2, STREAM);
    if (existing === undefined && !makeStream) throw keyMustExist();
    const stream = existing ?? new StreamValue();
    const id = positionOf(request.text(4), stream);
    const name = request.text(3);
    if (stream.groups.has(name)) throw new CommandError("BUSYGROUP Consumer Group name already exists");
    if (existing === undefined) client.db.setObject(request, 2, stream);
    stream.groups.set(name, new StreamGroup(id, entriesRead));
    client.wrote(request, 2, "t", "xgroup-create");
    client.reply.ok();
  },
});

const setid = subcommand("setid", -5, {
  key: "update",
  summary: "Lets a group read from another id on.",
  since: "5.0.0",
  run(client, request) {
    if (request.count !== 5 && !(request.count === 7 && request.word(5) === "entriesread")) throw syntaxError();
    const entriesRead = request.count === 7 ? entriesReadAt(request, 6) : undefined;
    const { stream, group } = groupAt(client, request);
    group.lastId = positionOf(request.text(4), stream);
    group.entriesRead = entriesRead;
    client.wrote(request, 2, "t", "xgroup-setid");
    client.reply.ok();
  },
});

/** `$`: behind the last entry; `-` and `+`: before and behind all that can be. */
function positionOf(text: string, stream: StreamValue): StreamId {
  if (text === "$") return stream.lastId;
  if (text === "-") return ID_MIN;
  return text === "+" ? ID_MAX : strictId(text);
}

/** -1: not known. */
function entriesReadAt(request: Request, index: number): number | undefined {
  const value = integerAt(request, index);
  if (value < -1) throw new CommandError("ERR value for ENTRIESREAD must be positive or -1");
  return value === -1 ? undefined : value;
}

const destroy = subcommand("destroy", 4, {
  key: "delete",
  summary: "Deletes a group.",
  since: "5.0.0",
  run(client, request) {
    const stream = existingStream(client, request);
    const deleted = stream.groups.delete(request.text(3));
    if (deleted) client.wrote(request, 2, "t", "xgroup-destroy");
    client.reply.integer(deleted ? 1 : 0);
  },
});

const createConsumer = subcommand("createconsumer", 5, {
  key: "insert",
  summary: "Makes a consumer of a group.",
  since: "6.2.0",
  run(client, request) {
    const { group } = groupAt(client, request);
    const name = request.text(4);
    const isNew = !group.consumers.has(name);
    if (isNew) {
      group.createConsumer(name, client.store.nowMs);
      client.wrote(request, 2, "t", "xgroup-createconsumer");
    }
    client.reply.integer(isNew ? 1 : 0);
  },
});

const deleteConsumer = subcommand("delconsumer", 5, {
  key: "delete",
  summary: "Deletes a consumer, and forgets what it had not acknowledged.",
  since: "5.0.0",
  run(client, request) {
    const { group } = groupAt(client, request);
    const consumer = group.consumers.get(request.text(4));
    const pending = consumer === undefined ? 0 : group.deleteConsumer(consumer);
    if (consumer !== undefined) client.wrote(request, 2, "t", "xgroup-delconsumer");
    client.reply.integer(pending);
  },
});

const keyMustExist = (): CommandError =>
  new CommandError(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
  );

function existingStream(client: Client, request: Request): StreamValue {
  const stream = client.findValue<StreamValue>(request, 2, STREAM);
  if (stream === undefined) throw keyMustExist();
  return stream;
}

function groupAt(client: Client, request: Request): { readonly stream: StreamValue; readonly group: StreamGroup } {
  const stream = existingStream(client, request);
  return { stream, group: groupOf(stream, request.text(2), request.text(3)) };
}

/** Throws `NOGROUP`. */
export function groupOf(stream: StreamValue, key: string, name: string): StreamGroup {
  const group = stream.groups.get(name);
  if (group === undefined) throw new CommandError(`NOGROUP No such consumer group '${name}' for key name '${key}'`);
  return group;
}

const help = helpOf("xgroup", "stream", "5.0.0", [
  "CREATE <key> <groupname> <id|$> [option]",
  "    Make a group that reads from this id on; MKSTREAM makes the stream, ENTRIESREAD tells how many came before.",
  "CREATECONSUMER <key> <groupname> <consumer>",
  "    Make a consumer.",
  "DELCONSUMER <key> <groupname> <consumer>",
  "    Delete a consumer.",
  "DESTROY <key> <groupname>",
  "    Delete a group.",
  "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
  "    Let a group read from another id on.",
]);

export const XGROUP: Command = {
  name: "xgroup",
  arity: -2,
  flags: [],
  group: "stream",
  summary: "Groups of consumers.",
  since: "5.0.0",
  subcommands: [create, setid, destroy, createConsumer, deleteConsumer, help],
};
