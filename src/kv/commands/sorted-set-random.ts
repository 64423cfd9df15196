import { CommandError, syntaxError } from "../command-error.ts";
import { ZSET } from "../keyspace/value.ts";
import { integerAt } from "../numbers.ts";
import { samplePositions } from "../types/sample.ts";
import type { SortedSet } from "../types/sorted-set.ts";
import { keyAt, type Command } from "./command.ts";

/** Twice as many entries must still be countable. */
const COUNT_MAX = 2 ** 62;

const zrandmember: Command = {
  name: "zrandmember",
  arity: -2,
  flags: ["readonly", "random"],
  group: "sorted-set",
  summary: "Members taken at random: different ones, or, with a count below 0, each from all of them.",
  since: "6.2.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const { reply } = client;
    if (request.count === 2) {
      const set = client.readValue<SortedSet>(request, 1, ZSET);
      return set === undefined ? reply.null() : reply.bulk(set.at(Math.floor(Math.random() * set.size)).member);
    }
    const count = integerAt(request, 2, { min: -(2 ** 63) + 1024, error: "ERR value is out of range" });
    const withScores = request.count > 3;
    if (request.count > 4 || (withScores && request.word(3) !== "withscores")) throw syntaxError();
    if (withScores && Math.abs(count) >= COUNT_MAX) throw new CommandError("ERR value is out of range");
    const set = client.readValue<SortedSet>(request, 1, ZSET);
    if (set === undefined) return reply.array(0);
    const taken = count < 0 ? -count : Math.min(count, set.size);
    const pairs = withScores && reply.protocol === 3;
    reply.array(withScores && !pairs ? 2 * taken : taken);
    const answer = (rank: number): void => {
      const { member, score } = set.at(rank);
      if (pairs) reply.array(2);
      reply.bulk(member);
      if (withScores) reply.double(score);
    };
    if (count < 0) for (let i = 0; i < taken; i++) answer(Math.floor(Math.random() * set.size));
    else for (const rank of samplePositions(set.size, taken, Math.random)) answer(rank);
  },
};

export const SORTED_SET_RANDOM_COMMANDS: readonly Command[] = [zrandmember];
