import type { Request } from "../../wire/resp/request.ts";
import type { Client, Tracking } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { integerAt } from "../numbers.ts";
import type { Command, CommandFlag } from "./command.ts";

const FLAGS: readonly CommandFlag[] = ["noscript", "loading", "stale"];

interface Wanted {
  redirect: number | undefined;
  broadcasts: boolean;
  optin: boolean;
  optout: boolean;
  noLoop: boolean;
  readonly prefixes: string[];
}

const tracking: Command = {
  name: "client|tracking",
  arity: -3,
  flags: FLAGS,
  group: "connection",
  summary: "Tells this client when keys change.",
  since: "6.0.0",
  run(client, request) {
    const wanted = wantedBy(client, request);
    const word = request.word(2);
    if (word === "off") client.store.tracking.stop(client);
    else if (word === "on") start(client, wanted);
    else throw syntaxError();
    client.reply.ok();
  },
};

function wantedBy(client: Client, request: Request): Wanted {
  const wanted: Wanted = { redirect: undefined, broadcasts: false, optin: false, optout: false, noLoop: false, prefixes: [] };
  for (let i = 3; i < request.count; i++) {
    const word = request.word(i);
    const hasMore = i + 1 < request.count;
    if (word === "redirect" && hasMore) {
      if (wanted.redirect !== undefined) throw new CommandError("ERR A client can only redirect to a single other client");
      wanted.redirect = integerAt(request, ++i, { error: "ERR Invalid client ID" });
      if (!client.store.clients.has(wanted.redirect)) throw new CommandError("ERR The client ID you want redirect to does not exist");
    } else if (word === "bcast") wanted.broadcasts = true;
    else if (word === "optin") wanted.optin = true;
    else if (word === "optout") wanted.optout = true;
    else if (word === "noloop") wanted.noLoop = true;
    else if (word === "prefix" && hasMore) wanted.prefixes.push(request.text(++i));
    else throw syntaxError();
  }
  return wanted;
}

function start(client: Client, { redirect, broadcasts, optin, optout, noLoop, prefixes }: Wanted): void {
  const before = client.tracking;
  if (prefixes.length > 0 && !broadcasts) throw new CommandError("ERR PREFIX option requires BCAST mode to be enabled");
  if (before !== undefined) {
    const switched = "before disabling tracking for this client, and then re-enabling it with a different mode.";
    if (broadcasts !== (before.prefixes !== undefined)) throw new CommandError(`ERR You can't switch BCAST mode on/off ${switched}`);
    if ((optin && before.mode === "optout") || (optout && before.mode === "optin"))
      throw new CommandError(`ERR You can't switch OPTIN/OPTOUT mode ${switched}`);
  }
  if (broadcasts && (optin || optout)) throw new CommandError("ERR OPTIN and OPTOUT are not compatible with BCAST");
  if (optin && optout) throw new CommandError("ERR You can't specify both OPTIN mode and OPTOUT mode");
  if (broadcasts) checkPrefixes(before?.prefixes ?? new Set(), prefixes);
  const all = new Set([...(before?.prefixes ?? []), ...(prefixes.length === 0 ? [""] : prefixes)]);
  client.store.tracking.start(client, {
    redirect,
    prefixes: broadcasts ? all : undefined,
    mode: optin ? "optin" : optout ? "optout" : "all",
    noLoop,
    caching: undefined,
    broken: false,
  });
}

const overlap = (a: string, b: string): boolean => a.startsWith(b) || b.startsWith(a);

function checkPrefixes(existing: ReadonlySet<string>, given: readonly string[]): void {
  const rule = "Prefixes for a single client must not overlap.";
  for (const [index, prefix] of given.entries()) {
    const other = [...existing].find((each) => each !== prefix && overlap(each, prefix));
    if (other !== undefined) throw new CommandError(`ERR Prefix '${prefix}' overlaps with an existing prefix '${other}'. ${rule}`);
    const another = given.find((each, at) => at > index && overlap(each, prefix));
    if (another !== undefined) throw new CommandError(`ERR Prefix '${prefix}' overlaps with another provided prefix '${another}'. ${rule}`);
  }
}

const caching: Command = {
  name: "client|caching",
  arity: 3,
  flags: FLAGS,
  group: "connection",
  summary: "Whether the keys of the next command are remembered.",
  since: "6.0.0",
  run(client, request) {
    const mode = client.tracking?.mode ?? "all";
    if (mode === "all")
      throw new CommandError("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled");
    const word = request.word(2);
    if (word !== "yes" && word !== "no") throw syntaxError();
    if (word === "yes" && mode !== "optin")
      throw new CommandError("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
    if (word === "no" && mode !== "optout")
      throw new CommandError("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
    client.tracking!.caching = word === "yes";
    client.reply.ok();
  },
};

const getredir: Command = {
  name: "client|getredir",
  arity: 2,
  flags: FLAGS,
  group: "connection",
  summary: "The connection that is told of changes; 0: this one, -1: none.",
  since: "6.0.0",
  run: (client) => client.reply.integer(client.tracking === undefined ? -1 : (client.tracking.redirect ?? 0)),
};

const trackinginfo: Command = {
  name: "client|trackinginfo",
  arity: 2,
  flags: FLAGS,
  group: "connection",
  summary: "How this connection is told of changes.",
  since: "6.2.0",
  run({ tracking: own, reply }) {
    const flags = own === undefined ? ["off"] : flagsOf(own);
    const prefixes = [...(own?.prefixes ?? [])];
    reply.map(3);
    reply.bulk("flags");
    reply.set(flags.length);
    for (const flag of flags) reply.bulk(flag);
    reply.bulk("redirect");
    reply.integer(own === undefined ? -1 : (own.redirect ?? 0));
    reply.bulk("prefixes");
    reply.bulks(prefixes);
  },
};

function flagsOf({ prefixes, mode, noLoop, caching: said, broken }: Tracking): string[] {
  const flags = ["on"];
  if (prefixes !== undefined) flags.push("bcast");
  if (mode !== "all") flags.push(mode);
  if (said !== undefined) flags.push(said ? "caching-yes" : "caching-no");
  if (noLoop) flags.push("noloop");
  if (broken) flags.push("broken_redirect");
  return flags;
}

export const CLIENT_TRACKING: readonly Command[] = [caching, getredir, tracking, trackinginfo];
