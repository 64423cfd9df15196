import assert from "node:assert/strict";
import { test } from "node:test";
import { Request } from "../../wire/resp/request.ts";
import { COMMANDS } from "../commands/all.ts";
import { CommandTable } from "../commands/table.ts";
import { User } from "./user.ts";

const table = new CommandTable(COMMANDS);

function aUser(...rules: readonly string[]): User {
  const user = new User("ann", table, false);
  for (const rule of rules) user.apply(rule);
  return user;
}

function denialOf(user: User, ...words: readonly string[]): string {
  const request = Request.of(words);
  const denial = user.denialOf(table.find(request)!, request);
  if (denial === undefined) return "allowed";
  return denial.reason === "command" ? "command" : `${denial.reason} ${denial.object}`;
}

test("rules are shown as what is left of them", () => {
  const rows: readonly (readonly [readonly string[], string])[] = [
    [[], "user ann off resetchannels -@all"],
    [["on", "nopass", "~*", "&*", "+@all"], "user ann on nopass ~* &* +@all"],
    [["+@all", "+get"], "user ann off resetchannels +@all"],
    [["+memory|doctor", "+memory"], "user ann off resetchannels -@all +memory"],
    [["+@all", "-client", "+client|id"], "user ann off resetchannels +@all -client +client|id"],
    [["%R~a", "%W~a", "%R~b"], "user ann off ~a %R~b resetchannels -@all"],
    [["(+get ~x)"], "user ann off resetchannels -@all (~x resetchannels -@all +get)"],
    [["(+get)", "clearselectors"], "user ann off resetchannels -@all"],
    [["+@read", "reset"], "user ann off resetchannels -@all"],
  ];
  for (const [rules, line] of rows) assert.equal(aUser(...rules).line, line);
});

test("commands, keys and channels are refused in that order", () => {
  const rows: readonly (readonly [readonly string[], readonly string[], string])[] = [
    [["+get"], ["set", "k", "v"], "command"],
    [["+get"], ["get", "k"], "key k"],
    [["+get", "~k*"], ["get", "key"], "allowed"],
    [["+@all", "%R~r*"], ["set", "r", "v"], "key r"],
    [["+@all", "%W~w*"], ["set", "w", "v"], "allowed"],
    [["+@all", "%W~w*"], ["set", "w", "v", "get"], "key w"],
    [["+mget", "~a"], ["mget", "a", "b"], "key b"],
    [["+@all", "~*", "&news.*"], ["publish", "news.de", "x"], "allowed"],
    [["+@all", "~*", "&news.*"], ["publish", "other", "x"], "channel other"],
    [["+@all", "~*", "&news.*"], ["psubscribe", "news.de"], "channel news.de"],
    [["+@all", "~*", "&news.*"], ["psubscribe", "news.*"], "allowed"],
    [["+@all", "~*"], ["unsubscribe", "other"], "allowed"],
    [["+select|0"], ["select", "0"], "allowed"],
    [["+select|0"], ["select", "1"], "command"],
    [["+@all", "-config|set"], ["config", "set", "a", "b"], "command"],
    [["+@all", "-config|set"], ["config", "get", "a"], "allowed"],
    [["+get", "~a", "(+set ~b)"], ["set", "b", "1"], "allowed"],
    [["+get", "~a", "(+set ~b)"], ["get", "b"], "key b"],
    [[], ["auth", "x"], "allowed"],
  ];
  for (const [rules, words, expected] of rows)
    assert.equal(denialOf(aUser(...rules), ...words), expected, `${rules.join(" ")}: ${words.join(" ")}`);
});

test("passwords are compared by their hashes, and only of a user that is on", () => {
  const user = aUser(">secret");
  assert.equal(user.accepts("secret"), false);
  user.apply("on");
  assert.equal(user.accepts("secret"), true);
  assert.equal(user.accepts("Secret"), false);
  assert.doesNotMatch(user.line, /secret/);
  user.apply("<secret");
  assert.equal(user.accepts("secret"), false);
  assert.throws(() => user.apply("<secret"), { message: "The password you are trying to remove from the user does not exist" });
  assert.throws(() => user.apply("#abc"), { message: /exactly 64 characters/ });
});

test("what is no rule is refused", () => {
  for (const [rule, message] of [
    ["+nothing", /Unknown command/],
    ["+@nothing", /Unknown command/],
    ["+config|get|x", /first-arg of a subcommand/],
    ["+get|a|b", /Unknown command/],
    ["%X~a", /Syntax error/],
    ["nonsense", /Syntax error/],
  ] as const)
    assert.throws(() => aUser(rule), { message });
  assert.throws(() => aUser("~*", "~a"), { message: /Adding a pattern after/ });
});
