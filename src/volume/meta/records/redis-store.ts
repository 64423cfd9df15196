import { createClient, ErrorReply, RESP_TYPES } from "@redis/client";
import { AnaxError } from "../../../base/errors.ts";
import { bytesOf, textOf } from "./keys.ts";
import { failureOn, type StoreOptions } from "./open-store.ts";
import type { CommitRequest, Fetched, FetchRequest, Held, Pair, RecordStore, StoredRecord } from "./record-store.ts";
import { scanGroups, type ReadGroup, type ReadGroups } from "./scan-groups.ts";

// A group is a hash, whose empty field is the version, and a sorted set of its keys; there is a set of all groups. One hash tag: in a cluster they are all in one slot.

const TAKE = `
local prefix, at = KEYS[1], 0
local function take() at = at + 1; return ARGV[at] end
local function hash(group) return prefix .. ':g:' .. group end
local function order(group) return prefix .. ':o:' .. group end
`;

const FETCH = `${TAKE}
local answer = {}
for i = 1, tonumber(take()) do answer[#answer + 1] = redis.call('HGET', hash(take()), '') or '' end
for i = 1, tonumber(take()) do
  local group, key, to, count = take(), take(), take(), take()
  local found = {}
  if to == '' then
    local value = redis.call('HGET', hash(group), key)
    if value then found = {key, value} end
  else
    for _, name in ipairs(redis.call('ZRANGEBYLEX', order(group), '[' .. key, '(' .. to, 'LIMIT', 0, count)) do
      found[#found + 1] = name
      found[#found + 1] = redis.call('HGET', hash(group), name) or ''
    end
  end
  answer[#answer + 1] = found
end
return answer`;

const COMMIT = `${TAKE}
local stamp = take()
for i = 1, tonumber(take()) do
  local group, version = take(), take()
  if (redis.call('HGET', hash(group), '') or '') ~= version then return 0 end
end
for i = 1, tonumber(take()) do
  local group = take()
  redis.call('DEL', hash(group), order(group))
  redis.call('SREM', prefix .. ':groups', group)
end
for i = 1, tonumber(take()) do
  local group, key = take(), take()
  redis.call('HDEL', hash(group), key)
  redis.call('ZREM', order(group), key)
end
for i = 1, tonumber(take()) do
  local group, key, value = take(), take(), take()
  redis.call('HSET', hash(group), key, value)
  redis.call('ZADD', order(group), 0, key)
  redis.call('SADD', prefix .. ':groups', group)
end
for i = 1, tonumber(take()) do
  local group = take()
  redis.call('HSET', hash(group), '', stamp)
  redis.call('SADD', prefix .. ':groups', group)
end
return 1`;

const DROP = `${TAKE}
local held, version = take(), take()
if held ~= '' and (redis.call('HGET', hash(held), '') or '') ~= version then return 0 end
for i = 1, tonumber(take()) do
  local group = take()
  redis.call('DEL', hash(group), order(group))
  redis.call('SREM', prefix .. ':groups', group)
end
return 1`;

// Groups whose version is another one than is known, with all they have, and those that are there no longer. Names that begin with 126, "~", are indexes; none has a space.
const DIFFERING = `${TAKE}
local known, answer, gone = {}, {}, {}
for group, version in string.gmatch(take(), '([^ ]+) ([^\\n]*)\\n') do known[group] = version end
for _, group in ipairs(redis.call('SMEMBERS', prefix .. ':groups')) do
  if string.byte(group) ~= 126 then
    local version = redis.call('HGET', hash(group), '') or ''
    if known[group] ~= version then answer[#answer + 1] = {group, version, redis.call('HGETALL', hash(group))} end
    known[group] = nil
  end
end
for group in pairs(known) do gone[#gone + 1] = group end
return {answer, gone}`;

const DROP_GROUPS = 500;
const LISTEN_AGAIN_MS = 1000;
/** Not now: nothing was run. */
const NOT_YET = /^(LOADING|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|BUSY)\b/;
const NOT_YET_MS = 50;

type Connection = Awaited<ReturnType<typeof connectionTo>>;

/** Records of one volume on any server that speaks Redis' protocol and runs scripts; one connection, that is made anew when it has broken. */
export class RedisStore implements RecordStore {
  readonly address: string;
  readonly #url: string;
  readonly #prefix: string;
  readonly #timeoutMs: number;
  readonly #lossyAllowed: boolean;
  readonly #clock: StoreOptions["clock"];
  #connection: Promise<Connection> | undefined;

  constructor(url: string, volume: string, { timeoutMs, clock, address }: StoreOptions) {
    const parsed = new URL(url);
    this.#lossyAllowed = parsed.searchParams.get("lossy") === "allowed";
    parsed.search = "";
    this.#url = parsed.href;
    this.#prefix = `anax:volume:{${volume}}`;
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
    this.address = address;
  }

  async fetch({ wants, groups }: FetchRequest): Promise<Fetched> {
    const words = wants.flatMap(({ group, key, to = "", countMax = -1 }) => [group, key, to, String(countMax)]);
    const answer = (await this.#run(FETCH, [String(groups.length), ...groups, String(wants.length), ...words])) as (Buffer | Buffer[])[];
    return {
      versions: answer.slice(0, groups.length).map((version) => textOf(version as Buffer)), // what the script returns
      found: answer.slice(groups.length).map((found) => pairsOf(found as Buffer[])),
    };
  }

  async commit({ checks, stamp, touched, gone, puts, removes }: CommitRequest): Promise<boolean> {
    const left = touched.filter((group) => !gone.includes(group));
    const lists = [checks, gone, removes, puts, left].flatMap((list) => [String(list.length), ...list.flat()]);
    return Number(await this.#run(COMMIT, [stamp, ...lists])) === 1;
  }

  scan(): AsyncIterable<StoredRecord> {
    return scanGroups({
      address: this.address,
      fetch: (request) => this.fetch(request),
      groups: () => this.#groups(),
      differing: (known) => this.#differing(known),
    });
  }

  async drop(keep: readonly string[], held: Held = { group: "", version: "" }): Promise<void> {
    const groups = (await this.#groups()).filter((group) => !keep.includes(group));
    for (let at = 0; at < groups.length; at += DROP_GROUPS) {
      const some = groups.slice(at, at + DROP_GROUPS);
      if (Number(await this.#run(DROP, [held.group, held.version, String(some.length), ...some])) === 0) return;
    }
  }

  async tell(): Promise<void> {
    await this.#call((connection) => connection.publish(this.#channel, ""));
  }

  /** Over a connection of its own, that its library makes anew when it has broken. */
  listen(onTold: () => void): AsyncDisposable {
    const client = createClient({ url: this.#url, socket: { connectTimeout: this.#timeoutMs, reconnectStrategy: () => LISTEN_AGAIN_MS } });
    client.on("error", () => undefined);
    client.on("ready", onTold); // what was told before nobody heard
    const listening = client.connect().then(() => client.subscribe(this.#channel, onTold));
    listening.catch(() => undefined); // it was left before
    return {
      async [Symbol.asyncDispose]() {
        client.destroy();
      },
    };
  }

  get #channel(): string {
    return `${this.#prefix}:told`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leave();
  }

  async #groups(): Promise<readonly string[]> {
    const found = await this.#call((connection) => connection.sMembers(`${this.#prefix}:groups`));
    return found.map(textOf);
  }

  async #differing(known: ReadGroups): Promise<{ readonly changed: ReadGroups; readonly gone: readonly string[] }> {
    const lines = [...known].map(([group, { version }]) => `${group} ${version}\n`).join(""); // one word: libraries break with so many
    const [changed, gone] = (await this.#run(DIFFERING, [lines])) as [[Buffer, Buffer, Buffer[]][], Buffer[]]; // what the script returns
    const read = changed.map(([group, version, fields]): [string, ReadGroup] => {
      const pairs = pairsOf(fields).filter(([key]) => key !== "");
      return [textOf(group), { version: textOf(version), pairs }];
    });
    return { changed: new Map(read), gone: gone.map(textOf) };
  }

  #run(script: string, words: readonly string[]): Promise<unknown> {
    const args = words.map(bytesOf);
    return this.#call((connection) => connection.eval(script, { keys: [this.#prefix], arguments: args }));
  }

  /** A late answer must not be taken for another's: who has waited in vain takes another connection. */
  async #call<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    using deadline = this.#clock.deadline(this.#timeoutMs);
    const { promise: late, reject } = Promise.withResolvers<never>();
    late.catch(() => undefined);
    deadline.signal.addEventListener("abort", () => reject(new Error(`no answer within ${this.#timeoutMs} ms`)), { once: true });
    try {
      this.#connection ??= this.#open();
      return await Promise.race([this.#whenReady(this.#connection, work, deadline.signal), late]);
    } catch (error) {
      if (!(error instanceof ErrorReply)) await this.#leave();
      throw failureOn(this.address, error);
    }
  }

  /** A server that has just started, or runs another's script, has run nothing and says so: it is asked again as long as there is time. */
  async #whenReady<T>(connection: Promise<Connection>, work: (connection: Connection) => Promise<T>, signal: AbortSignal): Promise<T> {
    const ready = await connection;
    for (;;) {
      signal.throwIfAborted(); // nobody waits for it any more, and it must not be done behind their back
      try {
        return await work(ready);
      } catch (error) {
        if (!(error instanceof ErrorReply) || !NOT_YET.test(error.message)) throw error;
        await this.#clock.sleep(NOT_YET_MS, signal);
      }
    }
  }

  async #open(): Promise<Connection> {
    const connection = await connectionTo(this.#url, this.#timeoutMs);
    try {
      if (!this.#lossyAllowed) await assertDurable(connection, this.address);
      return connection;
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  async #leave(): Promise<void> {
    const left = this.#connection;
    this.#connection = undefined;
    const connection = await Promise.race([left?.catch(() => undefined), Promise.resolve(undefined)]);
    if (connection !== undefined) connection.destroy();
    else void left?.then((late) => late.destroy()).catch(() => undefined);
  }
}

async function connectionTo(url: string, timeoutMs: number) {
  const client = createClient({ url, disableOfflineQueue: true, socket: { connectTimeout: timeoutMs, reconnectStrategy: false } });
  client.on("error", () => undefined); // the call that is under way hears of it
  await client.connect();
  return client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
}

/** What `fsync` has confirmed must not be forgotten. */
async function assertDurable(connection: Connection, address: string): Promise<void> {
  const settings = new Map<string, string>();
  for (const pattern of ["append*", "maxmemory-policy"]) {
    const said = await connection.sendCommand<unknown>(["CONFIG", "GET", pattern]).catch((error: unknown) => {
      if (error instanceof ErrorReply && !NOT_YET.test(error.message)) return [];
      throw error;
    });
    const words = (Array.isArray(said) ? said : Object.entries(said as object).flat()).map(String);
    for (let at = 0; at + 1 < words.length; at += 2) settings.set(words[at]!, words[at + 1]!); // both are there
  }
  const keeps = /^(noeviction|volatile-.*)$/.test(settings.get("maxmemory-policy") ?? ""); // no key here has a time to live
  if (keeps && settings.get("appendonly") === "yes" && settings.get("appendfsync") === "always") return;
  throw new AnaxError("config.invalid", {
    meta: address,
    expected: "a server with appendonly yes, appendfsync always and a maxmemory-policy that evicts nothing, or ?lossy=allowed",
  });
}

function pairsOf(flat: readonly Buffer[]): readonly Pair[] {
  const pairs: Pair[] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) pairs.push([textOf(flat[at]!), textOf(flat[at + 1]!)]); // both are there
  return pairs;
}
