import type { Request } from "../../../wire/resp/request.ts";
import type { Client } from "../../clients/client.ts";
import { CommandError, syntaxError } from "../../command-error.ts";
import { integerAt } from "../../numbers.ts";
import type { StreamValue, Trim } from "../../types/stream.ts";
import { textOfId } from "../../types/stream-id.ts";
import { strictId } from "./ids.ts";

/** Blocks of entries that a trim which need not be exact looks at, unless it is told. */
const BLOCKS_LIMIT = 100;
const LIMIT_MAX = 1_000_000;
/** Where blocks have no bound. */
const UNBOUNDED_LIMIT = 10_000;

/** Reads `MAXLEN|MINID [=|~] threshold [LIMIT n]`, as far as it is there. */
export class TrimOptions {
  #to: Trim["to"] | undefined;
  #nearly = false;
  #limit: number | undefined;

  /** How many arguments from this one on belong to it; 0: none does. */
  read(request: Request, at: number): number {
    const word = request.word(at);
    if (word === "limit" && at + 1 < request.count) {
      this.#limit = integerAt(request, at + 1);
      if (this.#limit < 0) throw new CommandError("ERR The LIMIT argument must be >= 0.");
      return 2;
    }
    if (word !== "maxlen" && word !== "minid") return 0;
    if (this.#to !== undefined) throw new CommandError("ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
    let i = at + 1;
    const mode = i < request.count ? request.text(i) : "";
    const hasMode = (mode === "~" || mode === "=") && i + 1 < request.count;
    this.#nearly = hasMode && mode === "~";
    if (hasMode) i++;
    if (i >= request.count) throw syntaxError();
    if (word === "minid") this.#to = { from: strictId(request.text(i)) };
    else {
      const length = integerAt(request, i);
      if (length < 0) throw new CommandError("ERR The MAXLEN argument must be >= 0.");
      this.#to = { length };
    }
    return i + 1 - at;
  }

  /** Undefined where nothing was asked for. Throws for options that do not fit each other. */
  result(client: Client): Trim | undefined {
    if (this.#limit !== undefined && !this.#nearly)
      throw new CommandError("ERR syntax error, LIMIT cannot be used without the special ~ option");
    if (this.#to === undefined) return undefined;
    return { to: this.#to, nearly: this.#nearly, limit: this.#nearly ? this.#limitOf(client) : undefined };
  }

  /** 0 stands for no limit. */
  #limitOf(client: Client): number | undefined {
    if (this.#limit !== undefined) return this.#limit === 0 ? undefined : this.#limit;
    const perBlock = client.store.parameters["stream-node-max-entries"];
    return perBlock === 0 ? UNBOUNDED_LIMIT : Math.min(LIMIT_MAX, BLOCKS_LIMIT * perBlock);
  }
}

/** What journal and replicas are told of a trim: exactly what is left, as theirs may have other blocks. */
export function exactTrim(stream: StreamValue, { to }: Trim): readonly string[] {
  return "length" in to
    ? ["MAXLEN", "=", String(stream.size)]
    : ["MINID", "=", stream.first === undefined ? textOfId(stream.lastId + 1n) : textOfId(stream.first.id)];
}
