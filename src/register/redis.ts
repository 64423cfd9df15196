import { createClient, ErrorReply } from "@redis/client";
import { AnaxError } from "../base/errors.ts";
import { NotSent, Refused, type Engine } from "./engine.ts";

const PREFIX = "anax:register:";
/** Not now, or not here: nothing was run. */
const NOT_NOW = /^(LOADING|CLUSTERDOWN|MASTERDOWN|READONLY|TRYAGAIN|BUSY|MISCONF|UNKILLABLE)\b/;
const MOVED = /^MOVED \d+ (?<address>\S+)$/;

/** Answers [1 if it was set, version, value]. */
const COMPARE_AND_SET = `
local version = tonumber(redis.call('HGET', KEYS[1], 'version') or '0')
if version ~= tonumber(ARGV[1]) then return {0, version, redis.call('HGET', KEYS[1], 'value') or ''} end
redis.call('HSET', KEYS[1], 'version', version + 1, 'value', ARGV[2])
return {1, version + 1, ''}`;

type Client = ReturnType<typeof connectionTo>;

/**
 * A hash for each cell on any server that speaks Redis' protocol and runs scripts. It has to keep what it has confirmed: unless the URL says `?lossy=allowed`,
 * a server that does not tell, or says something else than `appendonly yes` with `appendfsync always`, is not used (`register.lossy`).
 */
export function openRedis(url: string, timeoutMs: number): Engine {
  const { plain, lossyAllowed } = partsOf(url);
  let target = plain;
  let trusted = lossyAllowed;
  let client: Client | undefined;

  const drop = (): void => {
    if (client?.isOpen) client.destroy();
    client = undefined;
  };
  const connected = async (): Promise<Client> => {
    if (client?.isReady) return client;
    drop();
    const fresh = connectionTo(target, timeoutMs);
    client = fresh;
    await fresh.connect().catch((cause: unknown) => {
      throw cause instanceof ErrorReply ? refusalOf(cause) : new NotSent((cause as Error).message, { cause });
    });
    if (!trusted) await assertDurable(fresh, target);
    trusted = true;
    return fresh;
  };
  /** A call whose answer does not come takes its connection with it: a later answer must not be taken for another's. */
  const call = async <T>(signal: AbortSignal, work: (connection: Client) => Promise<T>, moves = 1): Promise<T> => {
    signal.addEventListener("abort", drop, { once: true });
    try {
      return await work(await connected());
    } catch (error) {
      const moved = error instanceof ErrorReply ? MOVED.exec(error.message)?.groups?.["address"] : undefined;
      if (moved !== undefined && moves > 0) {
        drop();
        target = movedTo(target, moved);
        trusted = lossyAllowed;
        return await call(signal, work, moves - 1);
      }
      if (error instanceof ErrorReply) throw refusalOf(error);
      drop();
      throw error;
    } finally {
      signal.removeEventListener("abort", drop);
    }
  };

  return {
    get address() {
      return new URL(target).host;
    },
    read: (name, signal) =>
      call(signal, async (connection) => {
        const [version, value] = await connection.hmGet(PREFIX + name, ["version", "value"]);
        return { version: Number(version ?? 0), value: value ?? "" };
      }),
    compareAndSet: (name, { expected, value }, signal) =>
      call(signal, async (connection) => {
        const answer = await connection.eval(COMPARE_AND_SET, { keys: [PREFIX + name], arguments: [String(expected), value] });
        const [set, version, current] = answer as unknown as [number, number, string]; // what the script returns
        return set === 1 ? { kind: "set", version } : { kind: "conflict", current: { version, value: current } };
      }),
    async [Symbol.asyncDispose]() {
      drop();
    },
  };
}

function connectionTo(url: string, timeoutMs: number) {
  const client = createClient({ url, disableOfflineQueue: true, socket: { connectTimeout: timeoutMs, reconnectStrategy: false } });
  client.on("error", () => undefined); // the call that is under way hears of it
  return client;
}

/** A version that goes back would make two owners. */
async function assertDurable(client: Client, target: string): Promise<void> {
  const said = await client.configGet(["appendonly", "appendfsync"]).catch((error: unknown) => {
    if (error instanceof ErrorReply) return {};
    throw new NotSent((error as Error).message, { cause: error });
  });
  const { appendonly, appendfsync } = said as Readonly<Record<string, string | undefined>>;
  if (appendonly !== "yes" || appendfsync !== "always")
    throw new AnaxError("register.lossy", { address: new URL(target).host, appendonly, appendfsync });
}

const refusalOf = (error: ErrorReply): Error =>
  NOT_NOW.test(error.message) ? new NotSent(error.message, { cause: error }) : new Refused(error.message, { cause: error });

function partsOf(url: string): { readonly plain: string; readonly lossyAllowed: boolean } {
  const parsed = new URL(url);
  const lossyAllowed = parsed.searchParams.get("lossy") === "allowed";
  parsed.search = "";
  return { plain: parsed.href, lossyAllowed };
}

function movedTo(url: string, address: string): string {
  const parsed = new URL(url);
  parsed.host = address;
  return parsed.href;
}
