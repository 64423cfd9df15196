import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { Clock } from "../base/clock.ts";
import { AnaxError, errorOf } from "../base/errors.ts";
import { nearestOf } from "../base/nearest.ts";
import { parseGrpcAddress } from "../wire/grpc/address.ts";
import { openChannel, type ClientTls, type GrpcChannel } from "../wire/grpc/client.ts";
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

/** Files that are named as etcdctl names them. */
const FILES = ["cacert", "cert", "key"] as const;

/**
 * `etcd://host:2379,host:2379`, or over TLS `etcds://host:2379,…?cacert=FILE&cert=FILE&key=FILE`: without an authority, those that the system knows; with a certificate, its key.
 * Connected when they are first asked. Throws `config.invalid`, `input.invalid`.
 */
export function openEtcdServers(url: string, clock: Clock): EtcdServers {
  const {
    secure,
    hosts = "",
    query,
  } = /^(?<secure>etcds)?(?:etcd)?:\/\/(?<hosts>[^/?#]*)\/?(?:\?(?<query>.*))?$/su.exec(url)?.groups ?? {};
  const addresses = hosts.split(",");
  const tls = tlsOf(new URLSearchParams(query), { secure: secure !== undefined, hosts });
  const channels = addresses.map((address) => openChannel(parseGrpcAddress(address), { clock, tls }));
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

function tlsOf(given: URLSearchParams, { secure, hosts }: { readonly secure: boolean; readonly hosts: string }): ClientTls | undefined {
  const wrong = (details: Readonly<Record<string, unknown>>, cause?: unknown): AnaxError =>
    new AnaxError("config.invalid", { etcd: hosts, ...details }, { cause });
  for (const name of given.keys()) {
    if (!FILES.includes(name as (typeof FILES)[number])) throw wrong({ parameter: name, didYouMean: nearestOf(name, FILES) });
    if (!secure) throw wrong({ parameter: name, expected: "etcds://" });
  }
  if (!secure) return undefined;
  const pemOf = (name: (typeof FILES)[number]): string | undefined => {
    const path = given.get(name);
    if (path === null) return undefined;
    try {
      return readFileSync(path, "utf8");
    } catch (thrown) {
      throw wrong({ parameter: name, reason: errorOf(thrown).message }, thrown);
    }
  };
  if (given.has("cert") !== given.has("key")) throw wrong({ reason: "cert and key belong together" });
  const tls = { authorityPem: pemOf("cacert"), certificatePem: pemOf("cert"), privateKeyPem: pemOf("key") };
  try {
    createSecureContext({ ca: tls.authorityPem, cert: tls.certificatePem, key: tls.privateKeyPem });
  } catch (thrown) {
    throw wrong({ reason: errorOf(thrown).message }, thrown);
  }
  return tls;
}
