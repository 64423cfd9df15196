import type { Request } from "../../../wire/resp/request.ts";
import type { Client } from "../../clients/client.ts";
import { CommandError, notAnInteger, syntaxError } from "../../command-error.ts";
import { STREAM } from "../../keyspace/value.ts";
import { integerAt, int64At } from "../../numbers.ts";
import type { StreamEntry, StreamValue } from "../../types/stream.ts";
import { ID_MAX, ID_MIN, type StreamId } from "../../types/stream-id.ts";
import type { Command, KeySpec } from "../command.ts";
import { waitForKeys } from "../waiting.ts";
import { deliver, history, noGroupToRead, type Reader } from "./deliver.ts";
import { strictId } from "./ids.ts";
import { replyEntries } from "./reply.ts";

/** One stream that is read. `after` undefined: what no consumer of the group has been given. */
interface Wanted {
  readonly key: string;
  readonly after: StreamId | undefined;
}

interface Reading {
  readonly streams: readonly Wanted[];
  readonly count: number;
  /** Undefined: does not wait; 0: for ever. */
  readonly blockMs: number | undefined;
  readonly group: Reader | undefined;
}

const KEYS: readonly KeySpec[] = [
  { flags: ["RO", "access"], begin: { keyword: "STREAMS", from: 1 }, find: { last: -1, step: 1, limit: 2 } },
];

const xread: Command = {
  name: "xread",
  arity: -4,
  flags: ["readonly", "blocking", "movablekeys"],
  group: "stream",
  summary: "Entries of several streams behind given ids, waited for if need be.",
  since: "5.0.0",
  keys: KEYS,
  run: (client, request) => read(client, readingOf(client, request, false)),
};

const xreadgroup: Command = {
  name: "xreadgroup",
  arity: -7,
  flags: ["write", "blocking", "movablekeys"],
  group: "stream",
  summary: "The same for a consumer of a group: entries that no other has been given.",
  since: "5.0.0",
  keys: KEYS,
  run: (client, request) => read(client, readingOf(client, request, true)),
};

function read(client: Client, reading: Reading): void {
  const { streams, blockMs } = reading;
  if (blockMs !== undefined && client.caller !== undefined)
    throw new CommandError(`ERR ${client.command!.name} command is not allowed with BLOCK option from scripts`);
  const found = streams.flatMap((wanted) => {
    const entries = entriesOf(client, wanted, reading);
    return entries === undefined ? [] : [{ key: wanted.key, entries }];
  });
  if (found.length > 0) {
    replyStreams(client, found);
    return;
  }
  if (blockMs === undefined || !client.mayBlock) return client.reply.nullArray();
  const byKey = new Map(streams.map((wanted) => [wanted.key, wanted]));
  waitForKeys(client, {
    keys: [...byKey.keys()],
    timeoutMs: blockMs === 0 ? undefined : blockMs,
    serve: (key) => served(client, byKey.get(key)!, reading),
    timedOut: () => client.reply.nullArray(),
  });
}

/** Writes the entries when it is called, so that of a consumer's each is given as it is written. */
type WriteEntries = () => void;

/** Undefined where there is nothing to reply for this stream. */
function entriesOf(client: Client, { key, after }: Wanted, { group, count }: Reading): WriteEntries | undefined {
  const stream = streamAt(client, key);
  if (group !== undefined) {
    if (after !== undefined) return () => history(client, key, { stream: stream!, after, count }, group);
    const first = stream === undefined ? undefined : firstAfter(stream, stream.groups.get(group.group)!.lastId);
    return first === undefined ? undefined : () => deliver(client, key, { stream: stream!, count }, group);
  }
  const entries = stream === undefined || after === ID_MAX ? [] : stream.range(after! + 1n, ID_MAX, count);
  return entries.length === 0 ? undefined : () => replyEntries(client.reply, entries);
}

const firstAfter = (stream: StreamValue, id: StreamId): StreamEntry | undefined =>
  id >= stream.lastId ? undefined : stream.range(id + 1n, ID_MAX, 1)[0];

function streamAt(client: Client, key: string): StreamValue | undefined {
  const address = client.db.findText(key);
  return address === 0 ? undefined : (client.db.objectOf(address) as StreamValue);
}

/** RESP3 has a map of them. */
function replyStreams({ reply }: Client, found: readonly { readonly key: string; readonly entries: WriteEntries }[]): void {
  if (reply.protocol === 3) reply.map(found.length);
  else reply.array(found.length);
  for (const { key, entries } of found) {
    if (reply.protocol === 2) reply.array(2);
    reply.bulk(key);
    entries();
  }
}

const GONE = "UNBLOCKED the stream key no longer exists";

/** A key that a client waits for has changed. Who reads for a group learns that stream or group are gone, others go on waiting. */
function served(client: Client, wanted: Wanted, reading: Reading): boolean {
  const { db, store } = client;
  const address = db.peekText(wanted.key);
  const isStream = address !== 0 && db.typeOf(address) === STREAM;
  const { group } = reading;
  if (group !== undefined) {
    const failure = !isStream
      ? GONE
      : streamAt(client, wanted.key)!.groups.has(group.group)
        ? undefined
        : "NOGROUP the consumer group this client was blocked on no longer exists";
    if (failure !== undefined) {
      store.statistics.of(client.command!).failed++;
      client.fail(failure);
      return true;
    }
  }
  if (!isStream) return false;
  const entries = entriesOf(client, wanted, reading);
  if (entries === undefined) return false;
  const before = store.dirty;
  replyStreams(client, [{ key: wanted.key, entries }]);
  if (store.dirty !== before) store.propagateEffects(db);
  return true;
}

function readingOf(client: Client, request: Request, forGroup: boolean): Reading {
  let count = Infinity;
  let blockMs: number | undefined;
  let noAck = false;
  let group: string | undefined;
  let consumer = "";
  let at = 1;
  for (; ; at++) {
    if (at >= request.count) throw syntaxError();
    const word = request.word(at);
    const left = request.count - at - 1;
    if (word === "streams" && left > 0) break;
    if (word === "block" && left > 0) blockMs = blockMsAt(request, ++at);
    else if (word === "count" && left > 0) {
      const given = integerAt(request, ++at);
      count = given <= 0 ? Infinity : given;
    } else if (word === "group" && left > 1) {
      if (!forGroup) throw new CommandError("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.");
      group = request.text(++at);
      consumer = request.text(++at);
    } else if (word === "noack") {
      if (!forGroup) throw new CommandError("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.");
      noAck = true;
    } else throw syntaxError();
  }
  const rest = request.texts(at + 1);
  if (rest.length % 2 !== 0)
    throw new CommandError(
      `ERR Unbalanced '${forGroup ? "xreadgroup" : "xread"}' list of streams: for each stream key an ID or '${forGroup ? ">" : "$"}' must be specified.`,
    );
  if (forGroup && group === undefined) throw new CommandError("ERR Missing GROUP option for XREADGROUP");
  const half = rest.length / 2;
  const streams = rest.slice(0, half).map((key, i) => {
    const index = at + 1 + i;
    const stream = client.readValue<StreamValue>(request, index, STREAM);
    if (group !== undefined && stream?.groups.has(group) !== true) throw noGroupToRead(key, group);
    return { key, after: afterOf(rest[half + i]!, stream, group !== undefined) };
  });
  return { streams, count, blockMs, group: group === undefined ? undefined : { group, consumer, noAck } };
}

function afterOf(text: string, stream: StreamValue | undefined, forGroup: boolean): StreamId | undefined {
  if (text === "$") {
    if (forGroup)
      throw new CommandError(
        "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
      );
    return stream?.lastId ?? ID_MIN;
  }
  if (text === ">") {
    if (forGroup) return undefined;
    throw new CommandError("ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.");
  }
  return strictId(text);
}

function blockMsAt(request: Request, index: number): number {
  let ms: bigint;
  try {
    ms = int64At(request, index);
  } catch {
    throw new CommandError(notAnInteger().message.replace("value", "timeout"));
  }
  if (ms < 0n) throw new CommandError("ERR timeout is negative");
  return Number(ms);
}

export const STREAM_READS: readonly Command[] = [xread, xreadgroup];
