import assert from "node:assert/strict";
import type { Random } from "../../../src/base/random.ts";
import { commandBytes } from "../../../src/kv/propagation.ts";
import { ProtocolError, RequestBatch, RequestParser } from "../../../src/wire/resp/request-parser.ts";
import { anyBytes, mutated, oneOf, pieces } from "./mutate.ts";
import type { Target } from "./target.ts";
import { anyCommand } from "./words.ts";

const LIMITS = { bulkBytesMax: 1024 * 1024, pendingBytesMax: 4 * 1024 * 1024 };
const LENGTHS = [
  "0",
  "-1",
  "-0",
  "00",
  "+1",
  "1e3",
  "1048576",
  "1048577",
  "536870912",
  "536870913",
  "4294967295",
  "9223372036854775807",
  "99999999999999999999",
  "",
];

/** What was read, and how it ended, does not depend on how the bytes came; nothing is taken for what is only announced. */
export function respParserTarget(): Target {
  return {
    run(random, input) {
      const bytes = anyStream(random);
      input(bytes);
      const known = random.below(8) > 0;
      const whole = outcomeOf([bytes], known);
      for (let way = 0; way < 3; way++) assert.deepEqual(outcomeOf(pieces(bytes, random), known), whole);
      if (bytes.length < 300)
        for (let cut = 0; cut <= bytes.length; cut++)
          assert.deepEqual(outcomeOf([bytes.subarray(0, cut), bytes.subarray(cut)], known), whole, `cut at ${cut}`);
    },
    check: () => undefined,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** Below what an inline command may be long: a longer one is taken when it comes at once. */
export function anyStream(random: Random): Buffer {
  const commands = Array.from({ length: 1 + random.below(6) }, () => anyCommand(random));
  switch (random.below(8)) {
    case 0:
      return Buffer.concat(commands.map((words) => commandBytes(...words)));
    case 1:
      return anyBytes(random, random.below(200));
    case 2:
      return Buffer.from(
        commands.map((words) => `${words.map((word) => quoted(word, random)).join(" ")}${oneOf(random, ["\r\n", "\n"])}`).join(""),
        "latin1",
      );
    case 3:
      return Buffer.from(
        oneOf(random, ["*1\r\n", "*2\r\n$1\r\na\r\n", "*0\r\n", "\r\n", "*1\r\n*1\r\n$"]).repeat(1 + random.below(2000)),
        "latin1",
      );
    case 4: {
      const text = Buffer.concat(commands.map((words) => commandBytes(...words))).toString("latin1");
      return Buffer.from(
        text.replaceAll(/(?<=[*$])\d+(?=\r\n)/g, (number) => (random.below(6) === 0 ? oneOf(random, LENGTHS) : number)),
        "latin1",
      );
    }
    default: {
      const all = commands.map((words) => commandBytes(...words));
      return mutated(Buffer.concat(all), random, all);
    }
  }
}

function quoted(word: string, random: Random): string {
  switch (random.below(4)) {
    case 0:
      return word;
    case 1:
      return `'${word}'`;
    case 2:
      return `"${word.replaceAll(/[^ -~]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`)}"`;
    default:
      return JSON.stringify(word);
  }
}

interface Outcome {
  readonly commands: readonly (readonly string[])[];
  readonly error: string | undefined;
  readonly pendingBytes: number;
}

function outcomeOf(chunks: readonly Buffer[], known: boolean): Outcome {
  const parser = new RequestParser(new RequestBatch());
  const commands: string[][] = [];
  let error: string | undefined;
  let fedBytes = 0;
  try {
    for (const chunk of chunks) {
      parser.feed(chunk, chunk.length, { prepare: () => {}, run: (request) => commands.push(request.texts()) > 0 }, LIMITS, known);
      fedBytes += chunk.length;
      assert.ok(
        parser.pendingBytes <= fedBytes && parser.allocatedBytes <= Math.max(64 * 1024, 4 * fedBytes),
        "memory for what has not come",
      );
    }
  } catch (thrown) {
    if (!(thrown instanceof ProtocolError)) throw thrown;
    error = thrown.message;
  }
  return { commands, error, pendingBytes: error === undefined ? parser.pendingBytes : 0 };
}
