import type { Request } from "../wire/resp/request.ts";
import { forbidden } from "./acl/check.ts";
import type { Client } from "./clients/client.ts";
import { evictClients } from "./clients/client-upkeep.ts";
import { CommandError, OUT_OF_MEMORY } from "./command-error.ts";
import { isRedirection, refusalIn, WAITS } from "./cluster/route.ts";
import { endTransaction } from "./clients/transaction.ts";
import type { Command, CommandFlag } from "./commands/command.ts";
import { isPaused } from "./clients/pause.ts";
import { observe } from "./info/observe.ts";

/** What an unknown command's error shows of it. */
const SHOWN_CHARS = 128;

/**
 * Runs a command of a client, or queues it, or answers why not. False: the client waits for something now, and its next command with it.
 */
export function dispatch(client: Client, request: Request): boolean {
  const goesOn = client.silence === "off" ? dispatchAloud(client, request) : dispatchSilently(client, request);
  client.releaseHeld();
  return goesOn;
}

/** After CLIENT REPLY: what is answered is thrown away, unless the command has ended that. */
function dispatchSilently(client: Client, request: Request): boolean {
  const written = client.reply.length;
  const wasNext = client.silence === "next";
  const goesOn = dispatchAloud(client, request);
  if (client.silence !== "off") client.reply.truncate(written);
  if (wasNext && client.silence === "next") client.silence = "off";
  return goesOn;
}

function dispatchAloud(client: Client, request: Request): boolean {
  const { store } = client;
  if (store.clientBytesMax !== 0) {
    evictClients(store);
    if (!store.clients.has(client.id) && client.output.peer !== undefined) return false;
  }
  const command = store.commands.find(request);
  if (store.tracking.count > 0) store.tracking.limit();
  const refusal = command === undefined ? unknown(request) : refusalOf(client, command, request);
  if (refusal === WAITS) return postpone(client, request);
  if (refusal !== undefined) {
    if (client.transaction !== undefined) client.transaction.refused = true;
    if (command !== undefined) store.statistics.of(command).rejected++;
    if (command?.name === "exec" && client.transaction !== undefined && store.cluster !== undefined && isRedirection(refusal)) {
      endTransaction(client);
      client.fail(refusal);
    } else if (command?.name === "exec" && client.transaction !== undefined && !refusal.startsWith("ERR"))
      client.fail(aborted(client, refusal));
    else client.fail(refusal);
    return true;
  }
  if (client.transaction !== undefined && !runsAtOnce(command!)) {
    client.transaction.queue.push({ command: command!, request: request.copy() });
    client.reply.simple("QUEUED");
    return true;
  }
  if (store.pause !== undefined && isPaused(client, command!, request)) {
    store.paused.add(client);
    return postpone(client, request);
  }
  // Within a script that takes too long time stands, and nobody is served who waits for what it changes.
  const isWithinScript = store.scripting.running !== undefined;
  if (!isWithinScript) store.advance();
  client.lastUsedMs = store.nowMs;
  run(client, command!, request);
  client.running = undefined;
  if (!isWithinScript) {
    if (store.propagation.count > 0) handOn(client, command!);
    if (store.blocked.count > 0) {
      store.tick(); // what the command has taken long for may have expired
      store.blocked.serve();
    }
  }
  return client.blocked === undefined && !client.closing;
}

/** The command is to be run again once somebody releases the client. */
function postpone(client: Client, request: Request): false {
  const { store } = client;
  client.postponed = request.copy();
  store.blocked.add(client, { db: client.db, keys: [], serve: () => false, timedOut: () => {}, reason: "pause", timer: undefined });
  return false;
}

/** What may not be run now will not be run later. */
function aborted(client: Client, refusal: string): string {
  endTransaction(client);
  return `EXECABORT Transaction discarded because of: ${refusal}`;
}

/** Flags that decide whether a command may be run now: of EXEC those of what it runs. */
function gateFlags(client: Client, command: Command): readonly CommandFlag[] {
  const { transaction } = client;
  if (command.name !== "exec" || transaction === undefined) return command.flags;
  const all = (flag: CommandFlag): boolean => transaction.queue.every(({ command: queued }) => queued.flags.includes(flag));
  const some = (flag: CommandFlag): boolean => transaction.queue.some(({ command: queued }) => queued.flags.includes(flag));
  return [...(["loading", "stale"] as const).filter(all), ...(["write", "may_replicate"] as const).filter(some)];
}

/** Runs a command that was run before, elsewhere or by an earlier run of this server: nothing refuses it. False: there is no such command. */
export function applyCommand(client: Client, request: Request): boolean {
  const { store } = client;
  const command = store.commands.find(request);
  if (command?.run === undefined) return false;
  if (client.transaction !== undefined && !runsAtOnce(command)) client.transaction.queue.push({ command, request: request.copy() });
  else {
    run(client, command, request);
    client.running = undefined;
    if (store.propagation.count > 0) handOn(client, command);
    if (store.blocked.count > 0) store.blocked.serve();
  }
  client.reply.truncate();
  return true;
}

/** What a command that looks at any keys at all finds expired is no part of it. */
function handOn(client: Client, command: Command): void {
  const { store } = client;
  store.propagation.flush(!command.flags.includes("touches_arbitrary_keys"));
  client.replicationOffset = store.replicationOffset;
  client.journalOffset = store.journalOffset;
}

/** Remembers what a client has read that wants to be told of changes; of a script, the keys that it was called with. */
function track(client: Client, command: Command): void {
  const reader = client.caller ?? client;
  if (command.flags.includes("readonly") && command.group !== "scripting") client.store.tracking.remember(reader);
  if (reader.tracking !== undefined && reader.transaction === undefined && !command.name.startsWith("client|"))
    reader.tracking.caching = undefined;
}

/** Runs a command that may run, and hands on what it changed. Its reply, or its error, is in `client.reply` afterwards. */
export function run(client: Client, command: Command, request: Request): void {
  const { store, db } = client;
  const before = store.dirty;
  const written = client.reply.length;
  const startedMs = store.lookedMs;
  let failed = false;
  client.command = command;
  client.running = request;
  try {
    command.run!(client, request);
  } catch (thrown) {
    if (!(thrown instanceof CommandError)) throw thrown;
    failed = true;
    client.reply.truncate(written);
    if (thrown.counted) client.reply.error(thrown.message);
    else client.fail(thrown.message);
  }
  if (store.dirty !== before) store.propagate(db, command, request);
  else store.effects = undefined;
  if (store.tracking.count > 0) track(client, command);
  const durationMs = store.look() - startedMs;
  store.statistics.ran(command, durationMs * 1000, failed, store.tracksLatency);
  observe(client, command, request, durationMs);
}

/** What control the transaction itself. */
const AT_ONCE: ReadonlySet<string> = new Set(["exec", "discard", "multi", "watch", "quit", "reset"]);
const runsAtOnce = (command: Command): boolean => AT_ONCE.has(command.name);

/** Without RESP3 a client that listens could not tell other replies from messages. */
const WHILE_SUBSCRIBED: ReadonlySet<string> = new Set([
  "ping",
  "quit",
  "reset",
  ...["subscribe", "unsubscribe"].flatMap((name) => [name, `p${name}`, `s${name}`]),
]);

function refusalOf(client: Client, command: Command, request: Request): string | undefined {
  const { arity } = command;
  if (command.run === undefined) {
    if (request.count < 2) return `ERR wrong number of arguments for '${command.name}' command`;
    return `ERR unknown subcommand '${shown(request.text(1))}'. Try ${command.name.toUpperCase()} HELP.`;
  }
  if (arity > 0 ? request.count !== arity : request.count < -arity) return `ERR wrong number of arguments for '${command.name}' command`;
  if (client.subscriptions !== undefined && client.reply.protocol === 2 && !WHILE_SUBSCRIBED.has(command.name))
    return `ERR Can't execute '${command.name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`;
  if (!client.known && !command.flags.includes("no_auth")) return "NOAUTH Authentication required.";
  if (client.transaction !== undefined && command.flags.includes("no_multi")) return "ERR Command not allowed inside a transaction";
  if (!client.user.unrestricted) {
    const refusal = forbidden(client, command, request);
    if (refusal !== undefined) return refusal;
  }
  const { store } = client;
  if (store.cluster !== undefined) {
    const refusal = refusalIn(store.cluster.node, client, command, request);
    if (refusal !== undefined) return refusal;
  }
  if (store.gates.size > 0) {
    const refusal = store.refusalOf(client, gateFlags(client, command));
    if (refusal !== undefined) return refusal;
  }
  const { busy } = store.scripting;
  if (busy !== undefined) return command.flags.includes("allow_busy") ? undefined : busy;
  store.outOfMemory = store.parameters.maxmemory > 0 && !store.eviction.makeRoom();
  if (store.outOfMemory && (command.flags.includes("denyoom") || (client.transaction !== undefined && !runsAtOnce(command))))
    return OUT_OF_MEMORY;
  return undefined;
}

function unknown(request: Request): string {
  let args = "";
  for (let i = 1; i < request.count && args.length < SHOWN_CHARS; i++) args += `'${request.text(i).slice(0, SHOWN_CHARS - args.length)}' `;
  return `ERR unknown command '${shown(request.text(0))}', with args beginning with: ${args}`;
}

const shown = (text: string): string => text.slice(0, SHOWN_CHARS);
