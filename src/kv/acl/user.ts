import { createHash, timingSafeEqual } from "node:crypto";
import type { Command } from "../commands/command.ts";
import { keysOf } from "../commands/found-keys.ts";
import type { CommandTable } from "../commands/table.ts";
import type { Request } from "../../wire/resp/request.ts";
import { RuleError, Selector } from "./selector.ts";

/** Why something is not allowed, from what is decided first to what is decided last. */
export type Denial =
  | { readonly reason: "command" }
  | { readonly reason: "key"; readonly index: number; readonly object: string }
  | { readonly reason: "channel"; readonly index: number; readonly object: string };

const RANK = { command: 0, key: 1, channel: 2 } as const;

const hashOf = (password: string): string => createHash("sha256").update(password, "latin1").digest("hex");

/** One who may sign in, and what he may do then (https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/). */
export class User {
  readonly name: string;
  readonly #table: CommandTable;
  enabled = false;
  /** Any password will do. */
  noPassword = false;
  sanitizesPayload = true;
  /** SHA-256 in hexadecimal. */
  passwords = new Set<string>();
  root: Selector;
  selectors: Selector[] = [];

  constructor(name: string, table: CommandTable, allChannels: boolean) {
    this.name = name;
    this.#table = table;
    this.root = new Selector(table);
    this.root.allChannels = allChannels;
  }

  copy(): User {
    const copy = new User(this.name, this.#table, false);
    copy.take(this);
    return copy;
  }

  /** Becomes as the other one; who is signed in as this one is so from now on. */
  take(other: User): void {
    this.enabled = other.enabled;
    this.noPassword = other.noPassword;
    this.sanitizesPayload = other.sanitizesPayload;
    this.passwords = new Set(other.passwords);
    this.root = other.root.copy();
    this.selectors = other.selectors.map((selector) => selector.copy());
  }

  get unrestricted(): boolean {
    return this.root.unrestricted;
  }

  accepts(password: string): boolean {
    if (!this.enabled) return false;
    if (this.noPassword) return true;
    const given = Buffer.from(hashOf(password));
    let found = false;
    for (const known of this.passwords) if (timingSafeEqual(given, Buffer.from(known))) found = true;
    return found;
  }

  // --- rules ------------------------------------------------------------------------------------------------------------------------

  /** Applies one rule. Throws `RuleError`. */
  apply(rule: string): void {
    const word = rule.toLowerCase();
    if (rule[0] === "(") return this.#addSelector(rule);
    switch (word) {
      case "on":
      case "off":
        this.enabled = word === "on";
        return;
      case "nopass":
        this.noPassword = true;
        this.passwords.clear();
        return;
      case "resetpass":
        this.noPassword = false;
        this.passwords.clear();
        return;
      case "sanitize-payload":
      case "skip-sanitize-payload":
        this.sanitizesPayload = word === "sanitize-payload";
        return;
      case "clearselectors":
        this.selectors = [];
        return;
      case "reset":
        this.take(new User(this.name, this.#table, this.resetsToAllChannels));
        return;
    }
    if (/^[><#!]/.test(rule)) this.#changePassword(rule[0]!, rule.slice(1));
    else this.root.apply(rule);
  }

  /** `acl-pubsub-default`, as far as RESET goes. */
  resetsToAllChannels = false;

  #addSelector(rule: string): void {
    if (!rule.endsWith(")")) throw new RuleError("Unmatched parenthesis in selector definition");
    const selector = new Selector(this.#table);
    for (const word of rule.slice(1, -1).split(" ")) if (word !== "") selector.apply(word);
    this.selectors.push(selector);
  }

  #changePassword(kind: string, text: string): void {
    const hashed = kind === "#" || kind === "!";
    if (hashed && !/^[0-9a-f]{64}$/.test(text))
      throw new RuleError("The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters");
    const hash = hashed ? text : hashOf(text);
    if (kind === ">" || kind === "#") {
      this.passwords.add(hash);
      this.noPassword = false;
    } else if (!this.passwords.delete(hash)) throw new RuleError("The password you are trying to remove from the user does not exist");
  }

  /** As `ACL GETUSER` shows them. */
  get flags(): string[] {
    return [
      this.enabled ? "on" : "off",
      ...(this.noPassword ? ["nopass"] : []),
      ...(this.sanitizesPayload ? [] : ["skip-sanitize-payload"]),
    ];
  }

  /** The line of `ACL LIST` and of the file. */
  get line(): string {
    const passwords = [...this.passwords].map((hash) => `#${hash}`);
    const selectors = this.selectors.map((selector) => `(${selector.text})`);
    return ["user", this.name, ...this.flags, ...passwords, this.root.text, ...selectors].join(" ");
  }

  // --- asking -----------------------------------------------------------------------------------------------------------------------

  get readsAllKeys(): boolean {
    return [this.root, ...this.selectors].some((selector) => selector.readsAllKeys);
  }

  /** Undefined: allowed by one of the selectors. Else what the one that came furthest refused. */
  denialOf(command: Command, request: Request): Denial | undefined {
    let worst: Denial | undefined;
    for (const selector of [this.root, ...this.selectors]) {
      const denial = denialBy(selector, command, request);
      if (denial === undefined) return undefined;
      if (worst === undefined || isFurther(denial, worst)) worst = denial;
    }
    return worst;
  }
}

function isFurther(a: Denial, b: Denial): boolean {
  if (a.reason !== b.reason) return RANK[a.reason] > RANK[b.reason];
  return a.reason !== "command" && b.reason !== "command" && a.index > b.index;
}

function denialBy(selector: Selector, command: Command, request: Request): Denial | undefined {
  if (!selector.allowsCommand(command, request.count > 1 ? request.text(1) : undefined)) return { reason: "command" };
  if (!selector.allKeys && (command.keys !== undefined || command.keysOf !== undefined)) {
    for (const { index, flags } of keysOf(command, request)) {
      if (flags.includes("not_key")) continue;
      const object = request.text(index);
      if (!selector.allowsKey(object, flags)) return { reason: "key", index, object };
    }
  }
  if (selector.allChannels) return undefined;
  for (const index of channelsOf(command, request)) {
    const object = request.text(index);
    if (!selector.allowsChannel(object, command.name === "psubscribe")) return { reason: "channel", index, object };
  }
  return undefined;
}

/** Arguments that are channels; to listen no more is always allowed. */
function channelsOf(command: Command, request: Request): number[] {
  switch (command.name) {
    case "publish":
    case "spublish":
      return request.count > 1 ? [1] : [];
    case "subscribe":
    case "psubscribe":
    case "ssubscribe":
      return Array.from({ length: request.count - 1 }, (_, i) => i + 1);
    default:
      return [];
  }
}
