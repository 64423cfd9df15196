import { CommandError } from "../command-error.ts";
import type { Client } from "../clients/client.ts";
import { clientLine } from "../clients/client-text.ts";
import type { CommandTable } from "../commands/table.ts";
import { splitInline } from "../../wire/resp/inline.ts";
import { RuleError } from "./selector.ts";
import { User } from "./user.ts";

/** Something that was not allowed. */
export interface DeniedAccess {
  readonly id: number;
  count: number;
  readonly reason: "auth" | "command" | "key" | "channel";
  readonly context: "toplevel" | "multi" | "lua";
  readonly object: string;
  readonly userName: string;
  readonly createdMs: number;
  updatedMs: number;
  clientInfo: string;
}

/** The words of a `user` line, and where it stands. */
export interface UserLine {
  readonly words: readonly string[];
  readonly from: string;
}

/** The same refusal again within this time counts up the entry before. */
const SAME_MS = 60_000;

/** Who may do what: users by name, and the log of refusals. */
export class Acl {
  readonly #table: CommandTable;
  readonly #users = new Map<string, User>();
  #log: DeniedAccess[] = [];
  #nextId = 0;
  /** New users may listen to all channels: `acl-pubsub-default`. */
  allChannels = false;

  constructor(table: CommandTable) {
    this.#table = table;
    this.#users.set("default", defaultUser(table));
  }

  get users(): ReadonlyMap<string, User> {
    return this.#users;
  }

  get default(): User {
    return this.#users.get("default")!; // it cannot be deleted
  }

  get(name: string): User | undefined {
    return this.#users.get(name);
  }

  /** Changes a user, or makes one: all rules or none. The user as he is then. Throws `ERR Error in ACL SETUSER modifier …`. */
  set(name: string, rules: readonly string[]): User {
    const before = this.#users.get(name);
    const changed = before?.copy() ?? this.#newUser(name);
    changed.resetsToAllChannels = this.allChannels;
    for (const rule of rules) {
      try {
        changed.apply(rule);
      } catch (thrown) {
        if (!(thrown instanceof RuleError)) throw thrown;
        throw new CommandError(`ERR Error in ACL SETUSER modifier '${rule}': ${thrown.message}`);
      }
    }
    if (before === undefined) this.#users.set(name, changed);
    else before.take(changed);
    return before ?? changed;
  }

  delete(name: string): boolean {
    return this.#users.delete(name);
  }

  #newUser(name: string): User {
    return new User(name, this.#table, this.allChannels);
  }

  /** The password of the default user, by `requirepass`. */
  setPassword(password: string): void {
    this.default.apply(password === "" ? "nopass" : "resetpass");
    if (password !== "") this.default.apply(`>${password}`);
  }

  // --- the file ---------------------------------------------------------------------------------------------------------------------

  /** Users as a file has them, one a line. */
  get text(): string {
    return [...this.#users.values()].map(({ line }) => `${line}\n`).join("");
  }

  /** Takes the users of a file in place of all others. Throws a `CommandError` that tells the lines at fault. */
  load(text: string, file: string): void {
    const lines = text.split("\n").map((line, index) => ({ words: splitWords(line), from: `${file}:${index + 1}` }));
    this.define(
      lines.filter(({ words }) => words.length > 0 && !words[0]!.startsWith("#")),
      defaultUser(this.#table),
    );
  }

  /** Takes these users in place of all others; where none of them is the default one, he is what is given. Throws as `load`. */
  define(lines: readonly UserLine[], otherwise: User): void {
    const users = new Map<string, User>();
    const problems: string[] = [];
    for (const { words, from } of lines) {
      const problem = this.#loadLine(users, words);
      if (problem !== undefined) problems.push(`${from}: ${problem}.`);
    }
    if (problems.length > 0)
      throw new CommandError(
        `ERR ${problems.join(" ")} WARNING: ACL errors detected, no change to the previously active ACL rules was performed`,
      );
    const { default: kept } = this;
    kept.take(users.get("default") ?? otherwise);
    this.#users.clear();
    this.#users.set("default", kept);
    for (const [name, user] of users) if (name !== "default") this.#users.set(name, user);
  }

  #loadLine(users: Map<string, User>, words: readonly string[]): string | undefined {
    const [keyword, name, ...rest] = words;
    if (keyword !== "user" || name === undefined) return "should start with user keyword followed by the username";
    if (users.has(name)) return `WARNING: Duplicate user '${name}' found`;
    const user = this.#newUser(name);
    const rules = mergedRules(rest);
    if (typeof rules === "string") return rules;
    for (const rule of rules) {
      try {
        user.apply(rule);
      } catch (thrown) {
        if (!(thrown instanceof RuleError)) throw thrown;
        return thrown.message;
      }
    }
    users.set(name, user);
    return undefined;
  }

  // --- the log ----------------------------------------------------------------------------------------------------------------------

  get log(): readonly DeniedAccess[] {
    return this.#log;
  }

  clearLog(): void {
    this.#log = [];
  }

  deny(client: Client, reason: DeniedAccess["reason"], object: string, userName = client.userName): void {
    const { nowMs, statistics, parameters } = client.store;
    statistics.aclDenied[reason]++;
    const context = client.caller !== undefined ? "lua" : client.transaction !== undefined || client.inExec ? "multi" : "toplevel";
    const clientInfo = clientLine(client.caller ?? client);
    const known = this.#log.find(
      (each) =>
        each.reason === reason &&
        each.context === context &&
        each.object === object &&
        each.userName === userName &&
        nowMs - each.updatedMs <= SAME_MS,
    );
    if (known !== undefined) {
      known.count++;
      known.updatedMs = nowMs;
      known.clientInfo = clientInfo;
      this.#log = [known, ...this.#log.filter((each) => each !== known)];
      return;
    }
    const entry = {
      id: this.#nextId++,
      count: 1,
      reason,
      context,
      object,
      userName,
      createdMs: nowMs,
      updatedMs: nowMs,
      clientInfo,
    } as const;
    this.#log.unshift(entry);
    this.limitLog(parameters["acllog-max-len"]);
  }

  limitLog(max: number): void {
    if (this.#log.length > max) this.#log.length = max;
  }
}

function defaultUser(table: CommandTable): User {
  const user = new User("default", table, true);
  for (const rule of ["on", "nopass", "~*", "&*", "+@all"]) user.apply(rule);
  return user;
}

const splitWords = (line: string): string[] => splitInline(line.trim()) ?? line.trim().split(/\s+/);

/** Joins the words of a selector that stand apart: `(`, `~key`, `)`. A text: what is wrong. */
export function mergedRules(words: readonly string[]): string[] | string {
  const merged: string[] = [];
  let open: string | undefined;
  for (const word of words) {
    if (open === undefined && word.startsWith("(") && !word.endsWith(")")) open = word;
    else if (open === undefined) merged.push(word);
    else {
      open += ` ${word}`;
      if (!word.endsWith(")")) continue;
      merged.push(open);
      open = undefined;
    }
  }
  return open === undefined ? merged : `Unmatched parenthesis in acl selector starting at '${open.split(" ")[0]}'.`;
}
