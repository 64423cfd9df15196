import type { Clock } from "../base/clock.ts";
import { AnaxError } from "../base/errors.ts";
import { registerOn, type Engine } from "./engine.ts";
import type { Register } from "./register.ts";

export interface RegisterOptions {
  readonly clock: Clock;
  /** Longest time for a call. Default 2000. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 2000;

/**
 * The register at `sqlite:/path/to/file`, `postgres://…`, `redis://…`, `rediss://…`, `etcd://host:port,…` or `etcds://…`. Engines other than a file are connected when
 * they are first asked. Throws `config.invalid` for another URL, `register.unreachable` for a file that cannot be opened.
 */
export async function openRegister(url: string, options: RegisterOptions): Promise<Register> {
  const full = { timeoutMs: TIMEOUT_MS, ...options };
  return registerOn(await engineOf(url, full), full);
}

/** Each library is loaded only where it is used. */
async function engineOf(url: string, options: Required<RegisterOptions>): Promise<Engine> {
  const scheme = /^(?<scheme>[a-z]+):/.exec(url)?.groups?.["scheme"] ?? "";
  switch (scheme) {
    case "sqlite":
      return (await import("./sqlite.ts")).openSqlite(url.slice("sqlite:".length), options.clock);
    case "postgres":
    case "postgresql":
      return (await import("./postgres.ts")).openPostgres(url, options.timeoutMs);
    case "redis":
    case "rediss":
      return (await import("./redis.ts")).openRedis(url, options.timeoutMs);
    case "etcd":
    case "etcds":
      return (await import("./etcd.ts")).openEtcd(url, options);
    default:
      throw new AnaxError("config.invalid", { register: url, expected: "sqlite:, postgres:, redis:, rediss:, etcd: or etcds:" });
  }
}
