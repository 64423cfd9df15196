import type { Random } from "../../../src/base/random.ts";
import { COMMANDS } from "../../../src/kv/commands/all.ts";
import { anyBytes, oneOf } from "./mutate.ts";

/** Commands that end or stop the server, write where a client says, or talk to others: they do what they should. */
const LEFT_OUT = ["shutdown", "debug", "config", "acl", "save", "bgsave", "bgrewriteaof", "replicaof", "slaveof", "failover", "migrate"];
const NAMES = COMMANDS.map(({ name }) => name).filter((name) => !LEFT_OUT.includes(name));
const SUBCOMMANDS = COMMANDS.flatMap(({ subcommands = [] }) => subcommands.map(({ name }) => name)).filter((name) => name !== "pause");

const KEYS = ["a", "b", "list", "set", "zset", "hash", "stream", "bits", "hll", "geo"];
const NUMBERS = [
  "0",
  "1",
  "-1",
  "2",
  "10",
  "100",
  "1000",
  "9223372036854775807",
  "-9223372036854775808",
  "4294967296",
  "1.5",
  "-inf",
  "+inf",
];
const ODD = ["nan", "1e400", "0x10", " 1", "1 ", "", "*", "-", "+", "$", "~", "=", ">", "(1", "[a", "[", "?", "\0", "\r\n", "\xff\xfe"];
const OPTIONS =
  "EX PX NX XX GT LT CH INCR KEEPTTL GET LIMIT COUNT MATCH TYPE WITHSCORES WITHVALUES BYSCORE BYLEX REV WEIGHTS AGGREGATE SUM MIN MAX LEFT RIGHT BEFORE AFTER STORE STOREDIST ASC DESC ALPHA BY GET # BLOCK STREAMS GROUP NOACK MKSTREAM MAXLEN MINID FORCE JUSTID IDLE TIME RETRYCOUNT FULL BIT BYTE AND OR XOR NOT u8 i64 i65 OVERFLOW WRAP SAT FAIL FROMMEMBER FROMLONLAT BYRADIUS BYBOX km m WITHCOORD WITHDIST WITHHASH RANK REPLACE DB ABSTTL FREQ ON OFF SKIP BCAST OPTIN OPTOUT NOLOOP PREFIX REDIRECT ID ADDR USER SETNAME AUTH default 3".split(
    " ",
  );
const SCRIPTS = [
  "return 1",
  "return redis.call('GET', KEYS[1])",
  "return {1, {2, {3}}, false}",
  "return redis.pcall('nope')",
  "error('x')",
  "(",
];

/** A command as somebody would send it who knows names and options but not which go together. */
export function anyCommand(random: Random): string[] {
  const command = oneOf(random, NAMES);
  const words = [random.below(8) === 0 ? command.toUpperCase() : command];
  for (let count = random.below(random.below(10) === 0 ? 40 : 7); count > 0; count--) words.push(anyWord(random));
  return words;
}

function anyWord(random: Random): string {
  switch (random.below(10)) {
    case 0:
    case 1:
    case 2:
      return oneOf(random, KEYS);
    case 3:
    case 4:
      return oneOf(random, NUMBERS);
    case 5:
    case 6:
      return oneOf(random, OPTIONS);
    case 7:
      return oneOf(random, random.below(3) === 0 ? SUBCOMMANDS : ODD);
    case 8:
      return oneOf(random, SCRIPTS);
    default:
      return anyBytes(random, random.below(random.below(20) === 0 ? 3000 : 30)).toString("latin1");
  }
}
