import { VirtualClock } from "../base/virtual-clock.ts";
import { latin1Of } from "../base/latin1.ts";
import { Request } from "../wire/resp/request.ts";
import { Client } from "./clients/client.ts";
import { COMMANDS } from "./commands/all.ts";
import { CommandTable } from "./commands/table.ts";
import { dispatch } from "./dispatch.ts";
import type { ParameterValues } from "./parameters/parameters.ts";
import { commandAt } from "./persist/journal/journal-parser.ts";
import { Store } from "./store.ts";

/** What RESP2 answers: an error as text that begins with `-`. */
export type Reply = string | number | null | Reply[];

/** A store without a network, in virtual time. */
export interface StoreFixture {
  readonly store: Store;
  readonly clock: VirtualClock;
  /** Runs a command as a client would. */
  readonly call: (...parts: readonly string[]) => Reply;
  /** What journal and replicas have got, `DEL key`, since it was asked last. */
  readonly effects: () => string[];
}

export function aStore(parameters: Partial<ParameterValues> = {}): StoreFixture {
  const clock = new VirtualClock();
  const store = new Store({ clock, commands: new CommandTable(COMMANDS), parameters });
  store.tick();
  const client = new Client(store, store.nextClientId(), { wake: () => {}, resume: () => {}, close: () => {} });
  let effects: string[] = [];
  store.propagation.sinks.add((told) => {
    for (let index = 0; index < told.count; index++) {
      const parsed = commandAt(told.bytesOf(index), 0);
      if (typeof parsed === "object") effects.push(parsed.request!.texts().join(" "));
    }
  });
  return {
    store,
    clock,
    call(...parts) {
      dispatch(client, Request.of(parts));
      return replyOf(latin1Of(client.reply.take()));
    },
    effects() {
      const all = effects;
      effects = [];
      return all;
    },
  };
}

function replyOf(text: string): Reply {
  let at = 0;
  const one = (): Reply => {
    const end = text.indexOf("\r\n", at);
    const kind = text[at];
    const line = text.slice(at + 1, end);
    at = end + 2;
    if (kind === "+") return line;
    if (kind === "-") return `-${line}`;
    if (kind === ":") return Number(line);
    if (line === "-1") return null;
    if (kind === "*") return Array.from({ length: Number(line) }, one);
    const bulk = text.slice(at, at + Number(line));
    at += bulk.length + 2;
    return bulk;
  };
  return one();
}
