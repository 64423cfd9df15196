import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { clientLine } from "../clients/client-text.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { integerAt } from "../numbers.ts";
import { pauseUntil, unpause } from "../clients/pause.ts";
import { CLIENT_KILL } from "./client-kill.ts";
import { clientTypeAt } from "./client-type.ts";
import { CLIENT_TRACKING } from "./client-tracking.ts";
import type { Command, CommandFlag } from "./command.ts";
import { helpOf } from "./help.ts";

const FLAGS: readonly CommandFlag[] = ["noscript", "loading", "stale"];
const ADMIN: readonly CommandFlag[] = ["admin", ...FLAGS];

const subcommand = (
  name: string,
  arity: number,
  about: { readonly summary: string; readonly since: string; readonly flags?: readonly CommandFlag[] },
  run: NonNullable<Command["run"]>,
): Command => ({
  name: `client|${name}`,
  arity,
  flags: about.flags ?? FLAGS,
  group: "connection",
  summary: about.summary,
  since: about.since,
  run,
});

const id = subcommand("id", 2, { summary: "The number of this connection.", since: "5.0.0" }, (client) => client.reply.integer(client.id));

const info = subcommand("info", 2, { summary: "What is known of this connection.", since: "6.2.0" }, (client) =>
  client.reply.verbatim(`${clientLine(client)}\n`),
);

const list = subcommand("list", -2, { summary: "All connections, a line for each.", since: "2.4.0", flags: ADMIN }, (client, request) => {
  let chosen: Iterable<Client> = client.store.clients.values();
  if (request.count === 4 && request.word(2) === "type") {
    const isOf = clientTypeAt(request, 3);
    chosen = [...chosen].filter(isOf);
  } else if (request.count > 3 && request.word(2) === "id") {
    const ids = Array.from({ length: request.count - 3 }, (_, i) => integerAt(request, i + 3, { error: "ERR Invalid client ID" }));
    chosen = ids.map((each) => client.store.clients.get(each)).filter((found) => found !== undefined);
  } else if (request.count !== 2) throw syntaxError();
  client.reply.verbatim([...chosen].map((each) => `${clientLine(each)}\n`).join(""));
});

const getname = subcommand("getname", 2, { summary: "The name of this connection.", since: "2.6.9" }, (client) =>
  client.reply.bulkOrNull(client.name === "" ? undefined : client.name),
);

/** Letters that a list of clients can show. */
const NAME = /^[!-~]*$/;

export function setName(client: Client, name: string): void {
  if (!NAME.test(name)) throw new CommandError("ERR Client names cannot contain spaces, newlines or special characters.");
  client.name = name;
}

const setname = subcommand("setname", 3, { summary: "Gives this connection a name.", since: "2.6.9" }, (client, request) => {
  setName(client, request.text(2));
  client.reply.ok();
});

const setinfo = subcommand("setinfo", 4, { summary: "Tells which library the client uses.", since: "7.2.0" }, (client, request) => {
  const [option, value] = [request.word(2), request.text(3)];
  if (option !== "lib-name" && option !== "lib-ver") throw new CommandError(`ERR Unrecognized option '${request.text(2)}'`);
  if (!NAME.test(value)) throw new CommandError(`ERR ${option} cannot contain spaces, newlines or special characters.`);
  client.library = option === "lib-name" ? { ...client.library, name: value } : { ...client.library, version: value };
  client.reply.ok();
});

const reply = subcommand(
  "reply",
  3,
  { summary: "Whether replies are sent: ON, OFF, or SKIP the next one.", since: "3.2.0" },
  (client, request) => {
    const mode = request.word(2);
    if (mode === "on") {
      client.silence = "off";
      client.reply.ok();
    } else if (mode === "off") client.silence = "all";
    else if (mode === "skip") {
      if (client.silence !== "all") client.silence = "next";
    } else throw syntaxError();
  },
);

const onOff = (request: Request): boolean => {
  const word = request.word(2);
  if (word !== "on" && word !== "off") throw syntaxError();
  return word === "on";
};

const noEvict = subcommand(
  "no-evict",
  3,
  { summary: "Spares this connection when memory of clients is short.", since: "7.0.0", flags: ADMIN },
  (client, request) => {
    client.noEvict = onOff(request);
    client.reply.ok();
  },
);

const noTouch = subcommand(
  "no-touch",
  3,
  { summary: "Commands of this connection do not count as uses of keys.", since: "7.2.0" },
  (client, request) => {
    client.noTouch = onOff(request);
    client.reply.ok();
  },
);

const pause = subcommand(
  "pause",
  -3,
  { summary: "Lets commands wait, all of them or those that write.", since: "3.0.0", flags: ADMIN },
  (client, request) => {
    const mode = request.count > 3 ? request.word(3) : "all";
    if (request.count > 4 || (mode !== "all" && mode !== "write")) throw new CommandError("ERR CLIENT PAUSE mode must be WRITE or ALL");
    const ms = integerAt(request, 2, { error: "ERR timeout is not an integer or out of range" });
    if (ms < 0) throw new CommandError("ERR timeout is negative");
    pauseUntil(client.store, ms, mode);
    client.reply.ok();
  },
);

const resume = subcommand(
  "unpause",
  2,
  { summary: "Lets commands run again after CLIENT PAUSE.", since: "6.2.0", flags: ADMIN },
  (client) => {
    unpause(client.store);
    client.reply.ok();
  },
);

const unblock = subcommand(
  "unblock",
  -3,
  { summary: "Ends the wait of a connection.", since: "5.0.0", flags: ADMIN },
  (client, request) => {
    const how = request.count > 3 ? request.word(3) : "timeout";
    if (request.count > 4 || (how !== "timeout" && how !== "error"))
      throw new CommandError("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    const target = client.store.clients.get(integerAt(request, 2));
    if (target?.blocked === undefined || target.blocked.reason === "pause") return client.reply.integer(0);
    if (how === "error") {
      target.fail("UNBLOCKED client unblocked via CLIENT UNBLOCK");
      if (target.command !== undefined) client.store.statistics.of(target.command).failed++;
    }
    if (how === "timeout") target.blocked.timedOut();
    client.store.blocked.release(target);
    client.reply.integer(1);
  },
);

export const CLIENT: Command = {
  name: "client",
  arity: -2,
  flags: [],
  group: "connection",
  summary: "Connections of clients.",
  since: "2.4.0",
  subcommands: [
    ...CLIENT_TRACKING,
    getname,
    helpOf("client", "connection", "5.0.0", [
      "CACHING (YES|NO)",
      "    Whether the next command's keys are remembered.",
      "GETNAME",
      "    The name of this connection.",
      "GETREDIR",
      "    The connection that gets invalidations.",
      "ID",
      "    The number of this connection.",
      "INFO",
      "    What is known of this connection.",
      "KILL <ip:port> | <option> <value> [...]",
      "    Closes connections: ADDR, LADDR, ID, TYPE, USER, SKIPME, MAXAGE.",
      "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <id> [...]]",
      "    All connections.",
      "NO-EVICT (ON|OFF)",
      "    Spares this connection when memory is short.",
      "NO-TOUCH (ON|OFF)",
      "    Commands do not count as uses of keys.",
      "PAUSE <timeout> [WRITE|ALL]",
      "    Lets commands wait.",
      "REPLY (ON|OFF|SKIP)",
      "    Whether replies are sent.",
      "SETINFO <option> <value>",
      "    LIB-NAME and LIB-VER.",
      "SETNAME <name>",
      "    Gives this connection a name.",
      "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]",
      "    Tells this client when keys change that it has read.",
      "TRACKINGINFO",
      "    How this connection is told.",
      "UNBLOCK <clientid> [TIMEOUT|ERROR]",
      "    Ends the wait of a connection.",
      "UNPAUSE",
      "    Lets commands run again.",
    ]),
    id,
    info,
    CLIENT_KILL,
    list,
    noEvict,
    noTouch,
    pause,
    reply,
    setinfo,
    setname,
    unblock,
    resume,
  ],
};
