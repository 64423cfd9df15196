import type { Request } from "../../wire/resp/request.ts";
import { commandAt } from "../persist/journal/journal-parser.ts";

/** What a stream of commands has that is applied as one: a command, or a transaction from MULTI to EXEC. */
export interface Unit {
  readonly requests: readonly Request[];
  /** Where the next one begins. */
  readonly end: number;
}

/** The unit at that place. `more`: it is not whole yet. `bad`: what stands there is no command. */
export function unitAt(bytes: Buffer, from: number): Unit | "more" | "bad" {
  const requests: Request[] = [];
  for (let at = from; ;) {
    const parsed = commandAt(bytes, at);
    if (typeof parsed === "string") return parsed;
    const { request, end } = parsed;
    if (request === undefined) return "bad";
    requests.push(request);
    at = end;
    const word = request.count === 1 ? request.word(0) : "";
    if (requests[0] === request ? word !== "multi" : word === "exec" || word === "discard") return { requests, end };
  }
}
