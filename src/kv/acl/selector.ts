import { CommandError } from "../command-error.ts";
import type { Command } from "../commands/command.ts";
import type { FoundKey } from "../commands/found-keys.ts";
import type { CommandTable } from "../commands/table.ts";
import { matchesGlob } from "../glob.ts";
import { CATEGORIES, categoriesOf } from "./categories.ts";

export interface KeyPattern {
  readonly pattern: string;
  readonly read: boolean;
  readonly write: boolean;
}

/** What a rule is wrong about; the caller tells which rule. */
export class RuleError extends CommandError {}

const UNKNOWN = "Unknown command or category name in ACL";

/** One set of permissions: commands with keys and channels. A user has one, and may have more. */
export class Selector {
  readonly #table: CommandTable;
  /** `+@all`: also of commands that are not known. */
  allCommands = false;
  #allowed = new Set<Command>();
  /** Of commands that are not allowed otherwise: first arguments with which they are. */
  #firstArguments = new Map<Command, Set<string>>();
  /** The rules as they were given, as far as later ones have not made them void. */
  #rules: string[] = ["-@all"];
  keys: KeyPattern[] = [];
  allKeys = false;
  channels: string[] = [];
  allChannels = false;

  constructor(table: CommandTable) {
    this.#table = table;
  }

  copy(): Selector {
    const copy = new Selector(this.#table);
    copy.allCommands = this.allCommands;
    copy.#allowed = new Set(this.#allowed);
    copy.#firstArguments = new Map([...this.#firstArguments].map(([command, words]) => [command, new Set(words)]));
    copy.#rules = [...this.#rules];
    copy.keys = [...this.keys];
    copy.allKeys = this.allKeys;
    copy.channels = [...this.channels];
    copy.allChannels = this.allChannels;
    return copy;
  }

  /** Everything is allowed. */
  get unrestricted(): boolean {
    return this.allCommands && this.allKeys && this.allChannels && this.#rules.length === 1;
  }

  get commandRules(): string {
    return this.#rules.join(" ");
  }

  get keyRules(): string {
    if (this.allKeys) return "~*";
    return this.keys.map(({ pattern, read, write }) => `${read && write ? "" : read ? "%R" : "%W"}~${pattern}`).join(" ");
  }

  get channelRules(): string {
    return this.allChannels ? "&*" : this.channels.map((pattern) => `&${pattern}`).join(" ");
  }

  /** As the rules that make it. */
  get text(): string {
    const channels = this.allChannels ? "&*" : ["resetchannels", this.channelRules].filter((part) => part !== "").join(" ");
    return [this.keyRules, channels, this.commandRules].filter((part) => part !== "").join(" ");
  }

  // --- changing ---------------------------------------------------------------------------------------------------------------------

  /** Applies one rule. Throws `RuleError`. */
  apply(rule: string): void {
    const word = rule.toLowerCase();
    if (word === "allkeys" || word === "~*") {
      this.allKeys = true;
      this.keys = [];
    } else if (word === "resetkeys") {
      this.allKeys = false;
      this.keys = [];
    } else if (word === "allchannels" || word === "&*") {
      this.allChannels = true;
      this.channels = [];
    } else if (word === "resetchannels") {
      this.allChannels = false;
      this.channels = [];
    } else if (word === "allcommands" || word === "+@all") this.#allowAll();
    else if (word === "nocommands" || word === "-@all") this.#denyAll();
    else if (rule[0] === "~" || rule[0] === "%") this.#addKeys(rule);
    else if (rule[0] === "&") this.#addChannel(rule.slice(1));
    else if (/^[+-]@/.test(rule)) this.#setCategory(word.slice(2), rule[0] === "+");
    else if (rule[0] === "+" && rule.includes("|")) this.#allowPart(word.slice(1));
    else if (rule[0] === "+" || rule[0] === "-") this.#setCommand(word.slice(1), rule[0] === "+");
    else throw new RuleError("Syntax error");
  }

  #allowAll(): void {
    this.allCommands = true;
    this.#allowed = new Set(this.#all());
    this.#firstArguments.clear();
    this.#rules = ["+@all"];
  }

  #denyAll(): void {
    this.allCommands = false;
    this.#allowed.clear();
    this.#firstArguments.clear();
    this.#rules = ["-@all"];
  }

  #all(): Command[] {
    return [...this.#table.all.values()].flatMap((command) => [command, ...(command.subcommands ?? [])]);
  }

  #addKeys(rule: string): void {
    // `%RW` without a pattern is accepted by Redis, and matches the empty key only.
    const found = /^(?:%([RrWw]+)(?:~|$)|~)(.*)$/s.exec(rule);
    if (found === null) throw new RuleError("Syntax error");
    const flags = found[1]?.toUpperCase() ?? "RW";
    const [read, write, pattern] = [flags.includes("R"), flags.includes("W"), found[2]!];
    if (this.allKeys)
      throw new RuleError(
        "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an " +
          "empty list of patterns",
      );
    if (/\s|\0/.test(pattern)) throw new RuleError("Syntax error");
    if (pattern === "*" && read && write) {
      this.allKeys = true;
      this.keys = [];
      return;
    }
    const before = this.keys.findIndex((each) => each.pattern === pattern);
    if (before < 0) this.keys.push({ pattern, read, write });
    else this.keys[before] = { pattern, read: read || this.keys[before]!.read, write: write || this.keys[before]!.write };
  }

  #addChannel(pattern: string): void {
    if (this.allChannels)
      throw new RuleError(
        "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start " +
          "with an empty list of channels",
      );
    if (/\s|\0/.test(pattern)) throw new RuleError("Syntax error");
    if (!this.channels.includes(pattern)) this.channels.push(pattern);
  }

  #setCategory(category: string, allowed: boolean): void {
    if (!(CATEGORIES as readonly string[]).includes(category)) throw new RuleError(UNKNOWN);
    for (const command of this.#all()) if (categoriesOf(command).has(category)) this.#set(command, allowed);
    if (!allowed) this.allCommands = false;
    this.#addRule(allowed, `@${category}`);
  }

  #setCommand(name: string, allowed: boolean): void {
    const [parent, sub] = name.split("|");
    const command = this.#table.all.get(parent!);
    const chosen = sub === undefined ? command : command?.subcommands?.find((each) => each.name === name);
    if (chosen === undefined) throw new RuleError(UNKNOWN);
    this.#set(chosen, allowed);
    for (const each of chosen.subcommands ?? []) this.#set(each, allowed);
    if (!allowed) this.allCommands = false;
    this.#addRule(allowed, name);
  }

  /** `+config|get`, or `+select|0`: a subcommand, or a first argument of a command without subcommands. */
  #allowPart(name: string): void {
    const [parent, sub, ...more] = name.split("|");
    const command = this.#table.all.get(parent!);
    if (command === undefined) throw new RuleError(UNKNOWN);
    if (more.length > 0)
      throw new RuleError(command.subcommands === undefined ? UNKNOWN : "Allowing first-arg of a subcommand is not supported");
    if (sub === undefined || sub === "") throw new RuleError("Syntax error");
    if (command.subcommands !== undefined) return this.#setCommand(name, true);
    this.#firstArguments.set(command, (this.#firstArguments.get(command) ?? new Set()).add(sub));
    this.#addRule(true, name);
  }

  #set(command: Command, allowed: boolean): void {
    if (allowed) this.#allowed.add(command);
    else this.#allowed.delete(command);
    this.#firstArguments.delete(command);
  }

  /** The newest rule of a command replaces those before, also those of its subcommands. */
  #addRule(allowed: boolean, name: string): void {
    if (allowed && this.allCommands) return;
    const isVoid = (rule: string): boolean => rule.slice(1) === name || rule.slice(1).startsWith(`${name}|`);
    this.#rules = [...this.#rules.filter((rule) => !isVoid(rule)), `${allowed ? "+" : "-"}${name}`];
    const all = this.#all();
    if (allowed && this.#rules[0] === "+@all" && all.every((command) => this.#allowed.has(command))) this.allCommands = true;
  }

  // --- asking -----------------------------------------------------------------------------------------------------------------------

  allowsCommand(command: Command, firstArgument: string | undefined): boolean {
    if (this.allCommands || this.#allowed.has(command) || command.flags.includes("no_auth")) return true;
    return firstArgument !== undefined && this.#firstArguments.get(command)?.has(firstArgument.toLowerCase()) === true;
  }

  allowsKey(key: string, flags: FoundKey["flags"]): boolean {
    if (this.allKeys) return true;
    const reads = flags.includes("access");
    const writes = flags.includes("update") || flags.includes("insert") || flags.includes("delete");
    return this.keys.some((each) => (!reads || each.read) && (!writes || each.write) && matchesGlob(each.pattern, key));
  }

  get readsAllKeys(): boolean {
    return this.allKeys || this.keys.some(({ pattern, read }) => read && pattern === "*");
  }

  /** A pattern of PSUBSCRIBE has to be allowed as it is. */
  allowsChannel(channel: string, isPattern: boolean): boolean {
    return this.allChannels || this.channels.some((pattern) => (isPattern ? pattern === channel : matchesGlob(pattern, channel)));
  }
}
