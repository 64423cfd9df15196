import type { Clock } from "../base/clock.ts";
import { Compare_CompareResult, Compare_CompareTarget, KVService, type KeyValue } from "../wire/grpc/gen/etcd/v3/etcd.ts";
import type { Engine } from "./engine.ts";
import { oneKey, openEtcdServers } from "./etcd-servers.ts";
import { NO_CELL, type Cell } from "./register.ts";

const PREFIX = "/anax/register/";
/** Keys in etcd, API v3, `etcd://host:2379,host:2379`: its key versions count changes as ours do, since no key is ever deleted. */
export function openEtcd(url: string, options: { readonly clock: Clock; readonly timeoutMs: number }): Engine {
  const { timeoutMs } = options;
  const servers = openEtcdServers(url, options.clock);
  const { call } = servers;
  return {
    address: servers.address,
    read: (name, signal) =>
      call(async (channel) => cellOf((await channel.unary(KVService.range, oneKey(keyOf(name)), { timeoutMs, signal })).kvs[0])),
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
            failure: [{ request: { $case: "requestRange", value: oneKey(key) } }],
          },
          { timeoutMs, signal },
        );
        if (answer.succeeded) return { kind: "set", version: expected + 1 };
        const found = answer.responses[0]?.response;
        return { kind: "conflict", current: cellOf(found?.$case === "responseRange" ? found.value.kvs[0] : undefined) };
      }),
    async [Symbol.asyncDispose]() {
      servers[Symbol.dispose]();
    },
  };
}

const keyOf = (name: string): Buffer => Buffer.from(PREFIX + name);

const cellOf = (found: KeyValue | undefined): Cell =>
  found === undefined ? NO_CELL : { version: found.version, value: Buffer.from(found.value).toString() };
