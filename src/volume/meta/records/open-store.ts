import type { Clock } from "../../../base/clock.ts";
import { AnaxError } from "../../../base/errors.ts";
import type { RecordStore } from "./record-store.ts";

export interface StoreOptions {
  readonly clock: Clock;
  /** Longest time for a call. */
  readonly timeoutMs: number;
  /** For messages. */
  readonly address: string;
}

/** Longest time for a call, as a thread that serves a mount may wait. */
export const CALL_MS = 3000;
/** The same for who has time: all of a large volume is removed in one call. */
export const LONG_CALL_MS = 60_000;

/** The records of a volume in the engine at this URL; connected when it is first asked. Each library is loaded only where it is used. Throws `config.invalid`. */
export async function openStore(url: string, volumeUuid: string, clock: Clock, timeoutMs = CALL_MS): Promise<RecordStore> {
  const options: StoreOptions = { clock, timeoutMs, address: withoutSecrets(url) };
  const scheme = schemeOf(url);
  // It is not shown: where a password has signs that it must not have, nobody knows where it ends.
  if (!scheme.startsWith("etcd") && scheme !== "" && !URL.canParse(url))
    throw new AnaxError("config.invalid", {
      meta: `${scheme}://…`,
      expected: "a URL; signs like / ? # @ in a password as %2F %3F %23 %40",
    });
  switch (scheme) {
    case "postgres":
    case "postgresql":
      return new (await import("./postgres-store.ts")).PostgresStore(url, volumeUuid, options);
    case "redis":
    case "rediss":
      return new (await import("./redis-store.ts")).RedisStore(url, volumeUuid, options);
    case "etcd":
    case "etcds":
      return new (await import("./etcd-store.ts")).EtcdStore(url, volumeUuid, options);
    default:
      throw new AnaxError("config.invalid", {
        meta: options.address,
        expected: "sqlite, postgres://, redis://, rediss://, etcd:// or etcds://",
      });
  }
}

const schemeOf = (url: string): string => /^(?<scheme>[a-z]+):/.exec(url)?.groups?.["scheme"] ?? "";

/** As it may be shown: who and where, but no password, and no parameter that could be one. */
export function withoutSecrets(url: string): string {
  return url.replace(/^(?<scheme>[a-z]+:\/\/)(?:(?<user>[^/:@?#]*)(?:[^?#]*)@)?(?<rest>[^?#]*).*$/su, (...match) => {
    const { scheme = "", user, rest = "" } = match.at(-1) as Record<string, string | undefined>; // the last argument has the named groups
    return `${scheme}${user === undefined || user === "" ? "" : `${user}@`}${rest}`;
  });
}

/** What is wrong with what was found, and not with the way to it. */
const OURS = /^(volume|config|disk)\./;

/**
 * What an engine, or the way to it, has said: passing or not, it is no reason to believe anything of the volume. That a call took too long, or what gRPC says, is
 * `volume.unreachable` as well: who asks knows no other code for what may be tried again.
 */
export function failureOn(address: string, cause: unknown): AnaxError {
  if (cause instanceof AnaxError && OURS.test(cause.code)) return cause;
  const reason = cause instanceof Error ? cause.message || cause.name : String(cause);
  return new AnaxError("volume.unreachable", { address, reason }, { cause });
}
