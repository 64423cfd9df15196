import type { Command, Group } from "../commands/command.ts";

/** As `ACL CAT` lists them. */
export const CATEGORIES = [
  "keyspace",
  "read",
  "write",
  "set",
  "sortedset",
  "list",
  "hash",
  "string",
  "bitmap",
  "hyperloglog",
  "geo",
  "stream",
  "pubsub",
  "admin",
  "fast",
  "slow",
  "blocking",
  "dangerous",
  "connection",
  "transaction",
  "scripting",
] as const;

const BY_GROUP: Readonly<Partial<Record<Group, string>>> = {
  bitmap: "bitmap",
  connection: "connection",
  generic: "keyspace",
  geo: "geo",
  hash: "hash",
  hyperloglog: "hyperloglog",
  list: "list",
  pubsub: "pubsub",
  scripting: "scripting",
  set: "set",
  "sorted-set": "sortedset",
  stream: "stream",
  string: "string",
  transactions: "transaction",
};

/** The categories of a command: what its flags and group say, and its own. */
export function categoriesOf(command: Command): ReadonlySet<string> {
  const { flags, group, categories = [] } = command;
  const found = new Set<string>(categories);
  const ofGroup = BY_GROUP[group];
  if (ofGroup !== undefined) found.add(ofGroup);
  if (flags.includes("write")) found.add("write");
  if (flags.includes("readonly") && group !== "scripting") found.add("read");
  if (flags.includes("admin")) {
    found.add("admin");
    found.add("dangerous");
  }
  if (flags.includes("pubsub")) found.add("pubsub");
  if (flags.includes("blocking")) found.add("blocking");
  found.add(flags.includes("fast") ? "fast" : "slow");
  return found;
}
