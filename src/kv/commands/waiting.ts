import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError } from "../command-error.ts";
import { doubleAt } from "../numbers.ts";

/** The longest that one timer takes. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** How long a command waits, from seconds with fractions; undefined: for ever. */
export function timeoutMsAt(client: Client, request: Request, index: number): number | undefined {
  const ms = Math.ceil(doubleAt(request, index, "ERR timeout is not a float or out of range") * 1000);
  if (ms < 0) throw new CommandError("ERR timeout is negative");
  if (ms + client.store.nowMs >= 2 ** 63) throw new CommandError("ERR timeout is out of range");
  return ms === 0 ? undefined : ms;
}

/** Takes from a key that is of the right type, replies, and says what journal and replicas get; undefined where nothing is to be had. */
export type Take = (key: string) => readonly string[] | undefined;

/** Takes from the first key that has something; false where none has. */
export function takeFromFirst(client: Client, keys: readonly string[], take: Take): boolean {
  for (const key of keys) {
    const effect = take(key);
    if (effect === undefined) continue;
    client.propagateAs(effect);
    return true;
  }
  return false;
}

/** The same, and where none has anything the client waits. Where nobody may wait, in a transaction or a script, and when the time is over, the reply is null. */
export function takeOrWait(
  client: Client,
  from: { readonly keys: readonly string[]; readonly type: number },
  timeoutMs: number | undefined,
  take: Take,
): void {
  if (takeFromFirst(client, from.keys, take)) return;
  if (!client.mayBlock) return client.reply.nullArray();
  waitForKeys(client, {
    keys: [...new Set(from.keys)],
    timeoutMs,
    serve: (key) => served(client, key, from.type, take),
    timedOut: () => client.reply.nullArray(),
  });
}

export interface KeyWait {
  /** Each once. */
  readonly keys: readonly string[];
  /** Undefined: for ever. */
  readonly timeoutMs: number | undefined;
  /** A key has changed: true if the client was answered. */
  readonly serve: (key: string) => boolean;
  readonly timedOut: () => void;
}

/** Lets a client wait until one of the keys has what it wants, or its time is over. */
export function waitForKeys(client: Client, { keys, timeoutMs, serve, timedOut }: KeyWait): void {
  const { blocked, clock } = client.store;
  let timer: Disposable | undefined;
  const wait = (ms: number): void => {
    timer = clock.timer(Math.min(ms, TIMER_MS_MAX), () => {
      if (ms > TIMER_MS_MAX) return wait(ms - TIMER_MS_MAX);
      timedOut();
      blocked.release(client);
    });
  };
  if (timeoutMs !== undefined) wait(timeoutMs);
  const dispose = (): void => timer?.[Symbol.dispose]();
  blocked.add(client, { db: client.db, keys, serve, timedOut, reason: "keys", timer: { [Symbol.dispose]: dispose } });
}

/** A key has changed: true if the client was answered. */
function served(client: Client, key: string, type: number, take: Take): boolean {
  const { db, store } = client;
  const address = db.peekText(key);
  if (address === 0 || db.typeOf(address) !== type) return false;
  try {
    const effect = take(key);
    if (effect === undefined) return false;
    store.propagateParts(db, effect);
  } catch (thrown) {
    if (!(thrown instanceof CommandError)) throw thrown;
    client.reply.error(thrown.message);
  }
  return true;
}
