import type { Clock } from "../base/clock.ts";
import { AnaxError } from "../base/errors.ts";
import { parseGrpcAddress } from "../wire/grpc/address.ts";
import { openChannel, type GrpcChannel } from "../wire/grpc/client.ts";
import { Compare_CompareResult, Compare_CompareTarget, KVService, type KeyValue } from "../wire/grpc/gen/etcd/v3/etcd.ts";
import { NotSent, Refused, type Engine } from "./engine.ts";
import { NO_CELL, type Cell } from "./register.ts";

const PREFIX = "/anax/register/";
const REFUSALS: ReadonlySet<string> = new Set([
  "rpc.invalid-argument",
  "rpc.permission-denied",
  "rpc.unauthenticated",
  "rpc.unimplemented",
  "rpc.resource-exhausted",
  "rpc.failed-precondition",
]);

/** Keys in etcd, API v3, `etcd://host:2379,host:2379`: its key versions count changes as ours do, since no key is ever deleted. */
export function openEtcd(url: string, options: { readonly clock: Clock; readonly timeoutMs: number }): Engine {
  const { clock, timeoutMs } = options;
  const addresses = url
    .replace(/^etcd:\/\//, "")
    .replace(/\/$/, "")
    .split(",");
  const channels = addresses.map((address) => openChannel(parseGrpcAddress(address), { clock }));
  let current = 0;

  const call = async <T>(work: (channel: GrpcChannel) => Promise<T>): Promise<T> => {
    try {
      return await work(channels[current]!); // always below their number
    } catch (error) {
      if (error instanceof AnaxError && REFUSALS.has(error.code)) throw new Refused(error.message, { cause: error });
      current = (current + 1) % channels.length; // the next call asks another
      if (error instanceof AnaxError && neverLeft(error)) throw new NotSent(error.message, { cause: error });
      throw error;
    }
  };
  return {
    address: addresses.join(","),
    read: (name, signal) =>
      call(async (channel) => cellOf((await channel.unary(KVService.range, { key: keyOf(name) }, { timeoutMs, signal })).kvs[0])),
    compareAndSet: (name, { expected, value }, signal) =>
      call(async (channel) => {
        const key = keyOf(name);
        const answer = await channel.unary(
          KVService.txn,
          {
            compare: [
              {
                result: Compare_CompareResult.EQUAL,
                target: Compare_CompareTarget.VERSION,
                key,
                targetUnion: { $case: "version", value: expected },
              },
            ],
            success: [{ request: { $case: "requestPut", value: { key, value: Buffer.from(value) } } }],
            failure: [{ request: { $case: "requestRange", value: { key } } }],
          },
          { timeoutMs, signal },
        );
        if (answer.succeeded) return { kind: "set", version: expected + 1 };
        const found = answer.responses[0]?.response;
        return { kind: "conflict", current: cellOf(found?.$case === "responseRange" ? found.value.kvs[0] : undefined) };
      }),
    async [Symbol.asyncDispose]() {
      for (const channel of channels) channel[Symbol.dispose]();
    },
  };
}

const keyOf = (name: string): Buffer => Buffer.from(PREFIX + name);

const cellOf = (found: KeyValue | undefined): Cell =>
  found === undefined ? NO_CELL : { version: found.version, value: Buffer.from(found.value).toString() };

/** What grpc-js says of a call for which it had no connection. */
const neverLeft = (error: AnaxError): boolean =>
  error.code === "rpc.unavailable" &&
  /^(No connection established|Name resolution failed|no connection in time)/.test(String(error.details["reason"]));
