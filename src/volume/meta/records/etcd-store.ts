import { AnaxError } from "../../../base/errors.ts";
import { Refused } from "../../../register/engine.ts";
import { oneKey, openEtcdServers, type EtcdServers } from "../../../register/etcd-servers.ts";
import type { GrpcChannel } from "../../../wire/grpc/client.ts";
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  KVService,
  type Compare,
  type KeyValue,
  type RangeRequest,
  type RequestOp,
  type TxnResponse,
} from "../../../wire/grpc/gen/etcd/v3/etcd.ts";
import { bytesOf, textOf } from "./keys.ts";
import { failureOn, type StoreOptions } from "./open-store.ts";
import {
  isIndex,
  type CommitRequest,
  type Fetched,
  type FetchRequest,
  type Held,
  type RecordStore,
  type StoredRecord,
} from "./record-store.ts";

/** What etcd takes in one transaction if nobody has told it otherwise. */
const OPERATIONS_DEFAULT = 128;
/** What it must be told to take: the end of a large file changes some records for each of its extents. */
const OPERATIONS = 10_000;
const SCAN_KEYS = 1000;
const NOTHING = new Uint8Array();

/** Records of one volume as keys of etcd, API v3. A group's version is the value of the key that has its name and a NUL. */
export class EtcdStore implements RecordStore {
  readonly address: string;
  readonly #servers: EtcdServers;
  readonly #prefix: string;
  readonly #timeoutMs: number;
  #probed = false;

  constructor(url: string, volume: string, { timeoutMs, clock, address }: StoreOptions) {
    this.address = address;
    this.#servers = openEtcdServers(url, clock);
    this.#prefix = `/anax/volume/${volume}/`;
    this.#timeoutMs = timeoutMs;
  }

  async fetch({ wants, groups }: FetchRequest): Promise<Fetched> {
    const ranges: RangeRequest[] = [
      ...groups.map((group) => oneKey(this.#key(group, ""))),
      ...wants.map(({ group, key, to, countMax = 0 }) => ({
        ...oneKey(this.#key(group, key)),
        ...(to !== undefined && { rangeEnd: this.#key(group, to), limit: countMax }),
      })),
    ];
    const found: (readonly KeyValue[])[] = [];
    // More than one transaction takes is read as of the moment of the first.
    for (let at = 0, revision = 0; at < ranges.length; at += OPERATIONS_DEFAULT) {
      const some = ranges.slice(at, at + OPERATIONS_DEFAULT).map((range) => ({ ...range, revision }));
      const answer = await this.#transaction(
        [],
        some.map((value) => ({ request: { $case: "requestRange", value } })),
      );
      revision ||= answer.header?.revision ?? 0;
      for (const { response } of answer.responses) found.push(response?.$case === "responseRange" ? response.value.kvs : []);
    }
    return {
      versions: groups.map((_, index) => textOf(found[index]?.[0]?.value ?? NOTHING)),
      found: wants.map(({ group }, index) => {
        const skipped = this.#prefix.length + group.length + 1;
        return (found[groups.length + index] ?? []).map(({ key, value }) => [textOf(key).slice(skipped), textOf(value)] as const);
      }),
    };
  }

  async commit({ checks, stamp, touched, gone, puts, removes }: CommitRequest): Promise<boolean> {
    const put = (group: string, key: string, value: string): RequestOp => ({
      request: { $case: "requestPut", value: { key: this.#key(group, key), value: bytesOf(value) } },
    });
    const operations = [
      ...gone.map((group) => remove(this.#key(group, ""), this.#end(group))),
      ...removes.map(([group, key]) => remove(this.#key(group, key), NOTHING)),
      ...puts.map(([group, key, value]) => put(group, key, value)),
      ...touched.filter((group) => !gone.includes(group)).map((group) => put(group, "", stamp)),
    ];
    if (Math.max(operations.length, checks.length) > OPERATIONS_DEFAULT) await this.#probe();
    const { succeeded } = await this.#transaction(
      checks.map(([group, version]) => this.#check(group, version)),
      operations,
    );
    return succeeded;
  }

  async *scan(): AsyncIterable<StoredRecord> {
    const start = bytesOf(this.#prefix);
    let from: Uint8Array = start;
    for (let revision = 0; ;) {
      const request: RangeRequest = { key: from, rangeEnd: behind(start), limit: SCAN_KEYS, revision };
      const { header, kvs } = await this.#call((channel) => channel.unary(KVService.range, request, { timeoutMs: this.#timeoutMs }));
      revision ||= header?.revision ?? 0;
      for (const { key, value } of kvs) {
        const [group = "", name = ""] = textOf(key).slice(this.#prefix.length).split("\0");
        if (name !== "" && !isIndex(group)) yield [group, name, textOf(value)];
      }
      const last = kvs.at(-1)?.key;
      if (last === undefined || kvs.length < SCAN_KEYS) return;
      from = Buffer.concat([last, NUL]); // the next one there can be
    }
  }

  async drop(keep: readonly string[], held?: Held): Promise<void> {
    const all = bytesOf(this.#prefix);
    const kept = [...keep].toSorted();
    // What lies before, between and behind those that stay.
    const borders = [all, ...kept.flatMap((group) => [this.#key(group, ""), this.#end(group)]), behind(all)];
    const compare = held === undefined ? [] : [this.#check(held.group, held.version)];
    for (let at = 0; at < borders.length; at += 2) await this.#transaction(compare, [remove(borders[at]!, borders[at + 1]!)]); // an even number of them
  }

  async tell(): Promise<void> {
    // nobody listens
  }

  listen(): undefined {
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#servers[Symbol.dispose]();
  }

  #key(group: string, key: string): Uint8Array {
    return bytesOf(`${this.#prefix}${group}\0${key}`);
  }

  #end(group: string): Uint8Array {
    return bytesOf(`${this.#prefix}${group}\x01`);
  }

  #check(group: string, version: string): Compare {
    const key = this.#key(group, "");
    const result = Compare_CompareResult.EQUAL;
    return version === ""
      ? { result, target: Compare_CompareTarget.VERSION, key, targetUnion: { $case: "version", value: 0 } } // it is not there
      : { result, target: Compare_CompareTarget.VALUE, key, targetUnion: { $case: "value", value: bytesOf(version) } };
  }

  #transaction(compare: readonly Compare[], success: readonly RequestOp[]): Promise<TxnResponse> {
    return this.#call((channel) => channel.unary(KVService.txn, { compare, success, failure: [] }, { timeoutMs: this.#timeoutMs }));
  }

  /** Says clearly what is missing, which etcd's own refusal would not. */
  async #probe(): Promise<void> {
    if (this.#probed) return;
    const request = { $case: "requestRange", value: oneKey(this.#key("v", "")) } as const;
    const success = Array.from({ length: OPERATIONS }, () => ({ request }));
    try {
      await this.#servers.call((channel) =>
        channel.unary(KVService.txn, { compare: [], success, failure: [] }, { timeoutMs: this.#timeoutMs }),
      );
    } catch (error) {
      if (error instanceof Refused)
        throw new AnaxError("config.invalid", { meta: this.address, expected: `etcd --max-txn-ops ${OPERATIONS}` });
      throw failureOn(this.address, error);
    }
    this.#probed = true;
  }

  async #call<T>(work: (channel: GrpcChannel) => Promise<T>): Promise<T> {
    try {
      return await this.#servers.call(work);
    } catch (error) {
      throw failureOn(this.address, error);
    }
  }
}

const remove = (key: Uint8Array, rangeEnd: Uint8Array): RequestOp => ({
  request: { $case: "requestDeleteRange", value: { key, rangeEnd } },
});

const NUL = new Uint8Array([0]);

/** The first key that does not begin with these bytes; the last of them is a slash. */
const behind = (prefix: Uint8Array): Uint8Array => Buffer.concat([prefix.subarray(0, -1), new Uint8Array([prefix.at(-1)! + 1])]);
