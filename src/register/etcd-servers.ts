import type { Clock } from "../base/clock.ts";
import { AnaxError } from "../base/errors.ts";
import { parseGrpcAddress } from "../wire/grpc/address.ts";
import { openChannel, type GrpcChannel } from "../wire/grpc/client.ts";
import type { RangeRequest } from "../wire/grpc/gen/etcd/v3/etcd.ts";
import { NotSent, Refused } from "./engine.ts";

const REFUSALS: ReadonlySet<string> = new Set([
  "rpc.invalid-argument",
  "rpc.permission-denied",
  "rpc.unauthenticated",
  "rpc.unimplemented",
  "rpc.resource-exhausted",
  "rpc.failed-precondition",
]);

/** The servers of an etcd cluster; whoever fails is not asked next. */
export interface EtcdServers extends Disposable {
  readonly address: string;
  /** Throws `Refused`, `NotSent`, and others when nobody knows what has become of it. */
  readonly call: <T>(work: (channel: GrpcChannel) => Promise<T>) => Promise<T>;
}

/** `etcd://host:2379,host:2379`; connected when they are first asked. */
export function openEtcdServers(url: string, clock: Clock): EtcdServers {
  const addresses = url
    .replace(/^etcd:\/\//, "")
    .replace(/\/$/, "")
    .split(",");
  const channels = addresses.map((address) => openChannel(parseGrpcAddress(address), { clock }));
  let current = 0;
  return {
    address: addresses.join(","),
    async call(work) {
      try {
        return await work(channels[current]!); // always below their number
      } catch (error) {
        if (error instanceof AnaxError && REFUSALS.has(error.code)) throw new Refused(error.message, { cause: error });
        current = (current + 1) % channels.length; // the next call asks another
        if (error instanceof AnaxError && neverLeft(error)) throw new NotSent(error.message, { cause: error });
        throw error;
      }
    },
    [Symbol.dispose]() {
      for (const channel of channels) channel[Symbol.dispose]();
    },
  };
}

export const oneKey = (key: Uint8Array): RangeRequest => ({ key, rangeEnd: NOTHING, limit: 0, revision: 0 });

const NOTHING = new Uint8Array();

/** What grpc-js says of a call for which it had no connection. */
const neverLeft = (error: AnaxError): boolean =>
  error.code === "rpc.unavailable" &&
  /^(No connection established|Name resolution failed|no connection in time)/.test(String(error.details["reason"]));
