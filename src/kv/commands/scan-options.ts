import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { matchesGlob } from "../glob.ts";
import { integerAt } from "../numbers.ts";

const COUNT_DEFAULT = 10;

/** What `SCAN`, `SSCAN`, `HSCAN`, `ZSCAN` are asked. */
export interface ScanOptions {
  readonly cursor: number;
  /** Of items to look at, nearly. */
  readonly count: number;
  readonly matches: (text: string) => boolean;
  /** Name of a type; only `SCAN` has it. */
  readonly type: string | undefined;
}

/** The cursor at an argument and the options after it. Throws `ERR invalid cursor`, `ERR syntax error`. */
export function scanOptionsAt(request: Request, index: number, withType = false): ScanOptions {
  const cursor = cursorOf(request.text(index));
  let count = COUNT_DEFAULT;
  let pattern = "*";
  let type: string | undefined;
  for (let i = index + 1; i < request.count; i += 2) {
    const word = request.word(i);
    if (i + 1 === request.count) throw syntaxError();
    if (word === "count") {
      count = integerAt(request, i + 1);
      if (count < 1) throw syntaxError();
    } else if (word === "match") pattern = request.text(i + 1);
    else if (word === "type" && withType) type = request.word(i + 1);
    else throw syntaxError();
  }
  return { cursor, count, type, matches: pattern === "*" ? () => true : (text) => matchesGlob(pattern, text) };
}

function cursorOf(text: string): number {
  if (!/^\d{1,20}$/.test(text) || BigInt(text) >= 2n ** 64n) throw new CommandError("ERR invalid cursor");
  return Number(text);
}

/** The reply of them all: the next cursor, and what was found. */
export function replyScanned({ reply }: Client, next: number, found: readonly string[]): void {
  reply.array(2);
  reply.bulk(String(next));
  reply.bulks(found);
}
