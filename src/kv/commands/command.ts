import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import type { FoundKey } from "./found-keys.ts";

/** As `COMMAND INFO` names them. */
export type CommandFlag =
  | "write"
  | "readonly"
  | "denyoom"
  | "admin"
  | "pubsub"
  | "noscript"
  | "random"
  | "blocking"
  | "loading"
  | "stale"
  | "skip_monitor"
  | "skip_slowlog"
  | "asking"
  | "fast"
  | "no_auth"
  | "may_replicate"
  | "sentinel"
  | "no_mandatory_keys"
  | "protected"
  | "touches_arbitrary_keys"
  | "allow_busy"
  | "no_async_loading"
  | "no_multi"
  | "movablekeys";

export type Group =
  | "bitmap"
  | "cluster"
  | "connection"
  | "generic"
  | "geo"
  | "hash"
  | "hyperloglog"
  | "list"
  | "pubsub"
  | "scripting"
  | "server"
  | "set"
  | "sorted-set"
  | "stream"
  | "string"
  | "transactions";

/** What is done with the keys that a specification finds. */
export type KeyFlag =
  | "RO"
  | "RW"
  | "OW"
  | "RM"
  | "access"
  | "update"
  | "insert"
  | "delete"
  | "channel"
  | "not_key"
  | "incomplete"
  | "variable_flags";

/** Where keys stand among the arguments (https://redis.io/docs/latest/develop/reference/key-specs/). */
export interface KeySpec {
  readonly flags: readonly KeyFlag[];
  readonly begin: { readonly index: number } | { readonly keyword: string; readonly from: number } | "unknown";
  readonly find:
    | { readonly last: number; readonly step: number; readonly limit?: number }
    | { readonly countAt: number; readonly first: number; readonly step: number }
    | "unknown";
}

/**
 * One command, or subcommand, as a value: what dispatch, ACL, `COMMAND`, routing by slot and the documentation need to know, and what it does.
 */
export interface Command {
  /** In lower case; a subcommand's with its parent's: `config|get`. */
  readonly name: string;
  /** Arguments with the name itself; below 0: at least so many. */
  readonly arity: number;
  readonly flags: readonly CommandFlag[];
  readonly group: Group;
  readonly summary: string;
  /** Version of Redis that had it first. */
  readonly since: string;
  readonly keys?: readonly KeySpec[];
  /** Categories of ACL besides those that follow from flags and group. */
  readonly categories?: readonly string[];
  readonly subcommands?: readonly Command[];
  /**
   * Keys of a call, where the specifications do not find all of them or what is done with them depends on the call: the index of the argument, alone where
   * the first specification's flags hold.
   */
  keysOf?(request: Request): readonly (number | FoundKey)[];
  /** Replies once through `client.reply`, or throws `CommandError`, or blocks the client. A command with subcommands has none where it cannot be called alone. */
  run?(client: Client, request: Request): void;
}

/** One key at this index. */
export const keyAt = (index: number, ...flags: readonly KeyFlag[]): readonly KeySpec[] => [
  { flags, begin: { index }, find: { last: 0, step: 1 } },
];

/** All arguments from this index on are keys, or every `step`th is. */
export const keysFrom = (index: number, step: number, ...flags: readonly KeyFlag[]): readonly KeySpec[] => [
  { flags, begin: { index }, find: { last: -1, step } },
];

/** At this index stands how many keys follow. */
export const keysCountedAt = (index: number, ...flags: readonly KeyFlag[]): readonly KeySpec[] => [
  { flags, begin: { index }, find: { countAt: 0, first: 1, step: 1 } },
];
