import type { Request } from "../../../wire/resp/request.ts";
import type { Client } from "../../clients/client.ts";
import { CommandError, noSuchKey, syntaxError, wrongArity } from "../../command-error.ts";
import { STREAM } from "../../keyspace/value.ts";
import { integerAt } from "../../numbers.ts";
import { StreamValue, type BlockLimits } from "../../types/stream.ts";
import { ID_MAX, ID_MIN, idOf, idPartOf, msOf, PART_MAX, sequenceOf, textOfId, type StreamId } from "../../types/stream-id.ts";
import { keyAt, type Command } from "../command.ts";
import { strictId } from "./ids.ts";
import { exactTrim, TrimOptions } from "./trim.ts";

const xadd: Command = {
  name: "xadd",
  arity: -5,
  flags: ["write", "denyoom", "fast"],
  group: "stream",
  summary: "Adds an entry to a stream.",
  since: "5.0.0",
  keys: keyAt(1, "RW", "update"),
  run(client, request) {
    const options = new TrimOptions();
    let create = true;
    let at = 2;
    for (; at < request.count; at++) {
      const taken = options.read(request, at);
      if (taken > 0) at += taken - 1;
      else if (request.word(at) === "nomkstream") create = false;
      else break;
    }
    const trim = options.result(client);
    const fieldCount = request.count - at - 1;
    if (fieldCount < 2 || fieldCount % 2 !== 0) throw wrongArity("xadd");
    const given = wantedId(request.text(at));
    const existing = client.findValue<StreamValue>(request, 1, STREAM);
    if (existing === undefined && !create) return client.reply.null();
    const stream = existing ?? new StreamValue();
    const id = nextId(stream, given, client.store.nowMs);
    if (existing === undefined) client.db.setObject(request, 1, stream);
    const fields = request.texts(at + 1);
    stream.add(id, fields, blockLimits(client));
    client.wrote(request, 1, "t", "xadd");
    const trimmed = trim === undefined ? 0 : stream.trim(trim);
    if (trimmed > 0) client.wrote(request, 1, "t", "xtrim");
    const key = request.text(1);
    client.propagateAs(["XADD", key, ...(trim === undefined ? [] : exactTrim(stream, trim)), textOfId(id), ...fields]);
    client.reply.bulk(textOfId(id));
  },
};

/** `*`, `ms-*`, or a whole id. */
type WantedId = { readonly any: true } | { readonly ms: bigint } | { readonly id: StreamId };

function wantedId(text: string): WantedId {
  if (text === "*") return { any: true };
  if (text.endsWith("-*")) {
    const ms = idPartOf(text.slice(0, -2));
    if (ms !== undefined) return { ms };
  }
  const id = strictId(text);
  if (id === ID_MIN) throw new CommandError("ERR The ID specified in XADD must be greater than 0-0");
  return { id };
}

function nextId(stream: StreamValue, wanted: WantedId, nowMs: number): StreamId {
  const last = stream.lastId;
  if (last === ID_MAX) throw new CommandError("ERR The stream has exhausted the last possible ID, unable to add more items");
  if ("any" in wanted) {
    const now = idOf(BigInt(nowMs), 0n);
    return now > last ? now : last + 1n;
  }
  let id: StreamId | undefined;
  if ("id" in wanted) id = wanted.id;
  else if (wanted.ms > msOf(last)) id = idOf(wanted.ms, 0n);
  else if (wanted.ms === msOf(last) && sequenceOf(last) < PART_MAX) id = last + 1n;
  if (id === undefined || id <= last)
    throw new CommandError("ERR The ID specified in XADD is equal or smaller than the target stream top item");
  return id;
}

export const blockLimits = ({ store }: Client): BlockLimits => ({
  entriesMax: store.parameters["stream-node-max-entries"],
  bytesMax: store.parameters["stream-node-max-bytes"],
});

const xlen: Command = {
  name: "xlen",
  arity: 2,
  flags: ["readonly", "fast"],
  group: "stream",
  summary: "How many entries a stream has.",
  since: "5.0.0",
  keys: keyAt(1, "RO"),
  run: (client, request) => client.reply.integer(client.readValue(request, 1, STREAM)?.size ?? 0),
};

const xdel: Command = {
  name: "xdel",
  arity: -3,
  flags: ["write", "fast"],
  group: "stream",
  summary: "Deletes entries of a stream.",
  since: "5.0.0",
  keys: keyAt(1, "RW", "delete"),
  run(client, request) {
    const stream = client.findValue<StreamValue>(request, 1, STREAM);
    const ids = idsFrom(request, 2);
    let deleted = 0;
    for (const id of ids) if (stream?.delete(id) === true) deleted++;
    if (deleted > 0) client.wrote(request, 1, "t", "xdel");
    client.reply.integer(deleted);
  },
};

/** All of them are ids, or the command does nothing. */
export const idsFrom = (request: Request, from: number): readonly StreamId[] => request.texts(from).map((text) => strictId(text));

const xtrim: Command = {
  name: "xtrim",
  arity: -4,
  flags: ["write"],
  group: "stream",
  summary: "Deletes the oldest entries of a stream.",
  since: "5.0.0",
  keys: keyAt(1, "RW", "delete"),
  run(client, request) {
    const options = new TrimOptions();
    for (let at = 2; at < request.count;) {
      const taken = options.read(request, at);
      if (taken === 0) throw syntaxError();
      at += taken;
    }
    const trim = options.result(client);
    if (trim === undefined) throw syntaxError();
    const stream = client.findValue<StreamValue>(request, 1, STREAM);
    const trimmed = stream?.trim(trim) ?? 0;
    if (trimmed > 0) {
      client.propagateAs(["XTRIM", request.text(1), ...exactTrim(stream!, trim)]);
      client.wrote(request, 1, "t", "xtrim");
    }
    client.reply.integer(trimmed);
  },
};

const xsetid: Command = {
  name: "xsetid",
  arity: -3,
  flags: ["write", "denyoom", "fast"],
  group: "stream",
  summary: "Sets the last id of a stream, and its counters.",
  since: "5.0.0",
  keys: keyAt(1, "RW", "update"),
  run(client, request) {
    const id = strictId(request.text(2));
    let added: number | undefined;
    let deletedMax: StreamId | undefined;
    for (let i = 3; i < request.count; i += 2) {
      const word = request.word(i);
      if (i + 1 >= request.count) throw syntaxError();
      if (word === "entriesadded") {
        added = integerAt(request, i + 1);
        if (added < 0) throw new CommandError("ERR entries_added must be positive");
      } else if (word === "maxdeletedid") {
        deletedMax = strictId(request.text(i + 1));
        if (id < deletedMax) throw new CommandError("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id");
      } else throw syntaxError();
    }
    if ((added === undefined) !== (deletedMax === undefined)) throw syntaxError();
    const stream = client.findValue<StreamValue>(request, 1, STREAM);
    if (stream === undefined) throw noSuchKey();
    if (stream.last !== undefined && id < stream.last.id)
      throw new CommandError("ERR The ID specified in XSETID is smaller than the target stream top item");
    if (id < stream.deletedMax) throw new CommandError("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id");
    if (added !== undefined && added < stream.size)
      throw new CommandError("ERR The entries_added specified in XSETID is smaller than the target stream length");
    stream.lastId = id;
    if (added !== undefined) stream.added = added;
    if (deletedMax !== undefined && deletedMax !== ID_MIN) stream.deletedMax = deletedMax;
    client.wrote(request, 1, "t", "xsetid");
    client.reply.ok();
  },
};

export const STREAM_WRITES: readonly Command[] = [xadd, xlen, xdel, xtrim, xsetid];
