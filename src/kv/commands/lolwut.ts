import { integerAt } from "../numbers.ts";
import { REDIS_VERSION } from "../version.ts";
import type { Command } from "./command.ts";

const COLUMNS_DEFAULT = 64;
const ROWS_DEFAULT = 16;

/** A picture as it comes out of a cellular automaton (rule 30) that starts with one cell. */
export const LOLWUT: Command = {
  name: "lolwut",
  arity: -1,
  flags: ["readonly", "fast"],
  group: "server",
  summary: "A picture, and the version.",
  since: "5.0.0",
  run({ reply }, request) {
    const from = request.count > 1 && request.word(1) === "version" ? 3 : 1;
    const size = (index: number, usual: number, max: number): number =>
      index < request.count ? Math.min(max, Math.max(1, integerAt(request, index))) : usual;
    const columns = size(from, COLUMNS_DEFAULT, 1000);
    const rows = size(from + 1, ROWS_DEFAULT, 1000);
    let cells = Array.from({ length: columns }, (_, column) => column === Math.floor(columns / 2));
    let picture = "";
    for (let row = 0; row < rows; row++) {
      picture += `${cells.map((cell) => (cell ? "#" : " ")).join("")}\n`;
      cells = cells.map((cell, column) => (cells[column - 1] ?? false) !== (cell || (cells[column + 1] ?? false)));
    }
    reply.verbatim(`${picture}Redis ver. ${REDIS_VERSION}\n`);
  },
};
