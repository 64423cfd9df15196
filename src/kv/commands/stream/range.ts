import { syntaxError } from "../../command-error.ts";
import { STREAM } from "../../keyspace/value.ts";
import { integerAt } from "../../numbers.ts";
import type { StreamValue } from "../../types/stream.ts";
import { keyAt, type Command } from "../command.ts";
import { rangeEnd, rangeStart } from "./ids.ts";
import { replyEntries } from "./reply.ts";

const range = (name: "xrange" | "xrevrange", backwards: boolean): Command => ({
  name,
  arity: -4,
  flags: ["readonly"],
  group: "stream",
  summary: `Entries between two ids${backwards ? ", the last one first" : ""}.`,
  since: "5.0.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const from = rangeStart(request.text(backwards ? 3 : 2));
    const to = rangeEnd(request.text(backwards ? 2 : 3));
    let count: number | undefined;
    for (let i = 4; i < request.count; i += 2) {
      if (request.word(i) !== "count" || i + 1 >= request.count) throw syntaxError();
      count = Math.max(0, integerAt(request, i + 1));
    }
    const stream = client.readValue<StreamValue>(request, 1, STREAM);
    if (stream === undefined) return client.reply.array(0);
    if (count === 0) return client.reply.nullArray();
    replyEntries(client.reply, backwards ? stream.rangeBackwards(from, to, count) : stream.range(from, to, count));
  },
});

export const STREAM_RANGES: readonly Command[] = [range("xrange", false), range("xrevrange", true)];
