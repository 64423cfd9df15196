import type { Request } from "../../../wire/resp/request.ts";
import type { Client } from "../../clients/client.ts";
import { CommandError, syntaxError } from "../../command-error.ts";
import { STREAM } from "../../keyspace/value.ts";
import { integerAt } from "../../numbers.ts";
import type { Pending, StreamConsumer, StreamGroup } from "../../types/stream-group.ts";
import type { StreamEntry, StreamValue } from "../../types/stream.ts";
import { parseId, textOfId, type StreamId } from "../../types/stream-id.ts";
import { keyAt, type Command } from "../command.ts";
import { idsFrom } from "./add.ts";
import { claimOf, consumerNamed, setIdOf } from "./deliver.ts";
import { rangeStart, strictId } from "./ids.ts";
import { replyEntry } from "./reply.ts";

const xack: Command = {
  name: "xack",
  arity: -4,
  flags: ["write", "fast"],
  group: "stream",
  summary: "Says that entries have been dealt with.",
  since: "5.0.0",
  keys: keyAt(1, "RW", "update"),
  run(client, request) {
    const group = client.findValue<StreamValue>(request, 1, STREAM)?.groups.get(request.text(2));
    if (group === undefined) return client.reply.integer(0);
    let acknowledged = 0;
    for (const id of idsFrom(request, 3)) if (group.acknowledge(id)) acknowledged++;
    client.store.dirty += acknowledged;
    client.reply.integer(acknowledged);
  },
};

interface ClaimOptions {
  readonly ids: readonly StreamId[];
  readonly deliveredMs: number;
  /** Undefined: one more than before. */
  readonly deliveries: number | undefined;
  readonly force: boolean;
  readonly idsOnly: boolean;
  readonly lastId: StreamId | undefined;
}

const xclaim: Command = {
  name: "xclaim",
  arity: -6,
  flags: ["write", "fast"],
  group: "stream",
  summary: "Takes entries over from another consumer.",
  since: "5.0.0",
  keys: keyAt(1, "RW", "update"),
  run(client, request) {
    const key = request.text(1);
    const stream = client.findValue<StreamValue>(request, 1, STREAM);
    const { group, name } = groupWith(stream, request);
    const idleMin = Math.max(0, integerAt(request, 4, { error: "ERR Invalid min-idle-time argument for XCLAIM" }));
    const options = claimOptionsOf(client, request);
    if (options.lastId !== undefined && options.lastId > group.lastId) {
      group.lastId = options.lastId;
      client.store.dirty++;
      client.alsoPropagate(setIdOf(key, name, group));
    }
    const claimed: StreamEntry[] = [];
    const claims = new Claims(client, { key, name, group, consumer: request.text(3) });
    for (const id of options.ids) {
      const entry = stream!.get(id);
      const pending = group.pending.get(id);
      if (entry === undefined) {
        if (pending !== undefined) claims.forget(id);
      } else if (pending === undefined ? options.force : client.store.nowMs - pending.deliveredMs >= idleMin) {
        const deliveries = options.deliveries ?? (pending?.deliveries ?? 0) + (options.idsOnly ? 0 : 1);
        claims.take(id, options.deliveredMs, deliveries);
        claimed.push(entry);
      }
    }
    replyClaimed(client, claimed, options.idsOnly);
  },
};

interface Claimant {
  readonly key: string;
  /** Of the group. */
  readonly name: string;
  readonly group: StreamGroup;
  readonly consumer: string;
}

/** Entries that go to a consumer, and what is told of it. */
class Claims {
  readonly #client: Client;
  readonly #of: Claimant;
  #consumer: StreamConsumer | undefined;

  constructor(client: Client, of: Claimant) {
    this.#client = client;
    this.#of = of;
  }

  take(id: StreamId, deliveredMs: number, deliveries: number): void {
    const { key, name, group, consumer } = this.#of;
    this.#consumer ??= consumerNamed(this.#client, key, group, consumer);
    group.give(id, this.#consumer, deliveredMs, deliveries);
    this.#client.store.dirty++;
    this.#client.alsoPropagate(claimOf(key, name, group, id));
  }

  /** The entry itself was deleted. */
  forget(id: StreamId): void {
    const { key, name, group } = this.#of;
    group.acknowledge(id);
    this.#client.store.dirty++;
    this.#client.alsoPropagate(["XACK", key, name, textOfId(id)]);
  }
}

function claimOptionsOf(client: Client, request: Request): ClaimOptions {
  const { nowMs } = client.store;
  const ids: StreamId[] = [];
  let at = 5;
  for (; at < request.count; at++) {
    const id = parseId(request.text(at), 0n);
    if (id === undefined) break;
    ids.push(id);
  }
  let deliveredMs = nowMs;
  let deliveries: number | undefined;
  let force = false;
  let idsOnly = false;
  let lastId: StreamId | undefined;
  for (; at < request.count; at++) {
    const word = request.word(at);
    const hasValue = at + 1 < request.count;
    if (word === "force") force = true;
    else if (word === "justid") idsOnly = true;
    else if (word === "idle" && hasValue)
      deliveredMs = nowMs - integerAt(request, ++at, { error: "ERR Invalid IDLE option argument for XCLAIM" });
    else if (word === "time" && hasValue) deliveredMs = integerAt(request, ++at, { error: "ERR Invalid TIME option argument for XCLAIM" });
    else if (word === "retrycount" && hasValue)
      deliveries = integerAt(request, ++at, { min: 0, error: "ERR Invalid RETRYCOUNT option argument for XCLAIM" });
    else if (word === "lastid" && hasValue) lastId = strictId(request.text(++at));
    else throw new CommandError(`ERR Unrecognized XCLAIM option '${request.text(at)}'`);
  }
  if (ids.length === 0) strictId(request.text(5));
  // A clock that is ahead elsewhere must not keep an entry from being claimed for long.
  return { ids, deliveredMs: deliveredMs < 0 || deliveredMs > nowMs ? nowMs : deliveredMs, deliveries, force, idsOnly, lastId };
}

function replyClaimed({ reply }: Client, entries: readonly StreamEntry[], idsOnly: boolean): void {
  reply.array(entries.length);
  for (const entry of entries)
    if (idsOnly) reply.bulk(textOfId(entry.id));
    else replyEntry(reply, entry);
}

function groupWith(stream: StreamValue | undefined, request: Request): { readonly group: StreamGroup; readonly name: string } {
  const name = request.text(2);
  const group = stream?.groups.get(name);
  if (group === undefined) throw new CommandError(`NOGROUP No such key '${request.text(1)}' or consumer group '${name}'`);
  return { group, name };
}

/** Pending entries that are looked at for each that may be claimed. */
const LOOKS_PER_CLAIM = 10;
const AUTOCLAIM_COUNT = 100;
const AUTOCLAIM_COUNT_MAX = Math.floor(Number.MAX_SAFE_INTEGER / 16);

const xautoclaim: Command = {
  name: "xautoclaim",
  arity: -6,
  flags: ["write", "fast"],
  group: "stream",
  summary: "Takes over entries that others have had for too long.",
  since: "6.2.0",
  keys: keyAt(1, "RW", "access", "delete"),
  run(client, request) {
    const { reply, store } = client;
    const idleMin = Math.max(0, integerAt(request, 4, { error: "ERR Invalid min-idle-time argument for XAUTOCLAIM" }));
    const start = rangeStart(request.text(5));
    let count = AUTOCLAIM_COUNT;
    let idsOnly = false;
    for (let i = 6; i < request.count; i++) {
      const word = request.word(i);
      if (word === "count" && i + 1 < request.count)
        count = integerAt(request, ++i, { min: 1, max: AUTOCLAIM_COUNT_MAX, error: "ERR COUNT must be > 0" });
      else if (word === "justid") idsOnly = true;
      else throw syntaxError();
    }
    const stream = client.findValue<StreamValue>(request, 1, STREAM);
    const { group, name } = groupWith(stream, request);
    const claims = new Claims(client, { key: request.text(1), name, group, consumer: request.text(3) });
    const looked: Pending[] = [...group.pending.from(start).take(count * LOOKS_PER_CLAIM + 1)];
    const claimed: StreamEntry[] = [];
    const deleted: StreamId[] = [];
    let at = 0;
    for (; at < looked.length && at < count * LOOKS_PER_CLAIM && claimed.length + deleted.length < count; at++) {
      const pending = looked[at]!;
      const entry = stream!.get(pending.id);
      if (entry === undefined) {
        claims.forget(pending.id);
        deleted.push(pending.id);
      } else if (store.nowMs - pending.deliveredMs >= idleMin) {
        claims.take(pending.id, store.nowMs, pending.deliveries + (idsOnly ? 0 : 1));
        claimed.push(entry);
      }
    }
    reply.array(3);
    reply.bulk(at < looked.length ? textOfId(looked[at]!.id) : "0-0");
    replyClaimed(client, claimed, idsOnly);
    reply.bulks(deleted.map(textOfId));
  },
};

export const STREAM_CLAIMS: readonly Command[] = [xack, xclaim, xautoclaim];
