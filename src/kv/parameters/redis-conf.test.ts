import assert from "node:assert/strict";
import { writeFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { readRedisConf, settingsOfDirectives } from "./redis-conf.ts";
import { startStore } from "../start-store.ts";
import { rewriteConf } from "./rewrite-conf.ts";

test("a redis.conf is read with its includes, later lines win, save points add up", async () => {
  await using dir = await temporaryDirectory();
  writeFileSync(join(dir.path, "more.conf"), "maxmemory 2gb\nsave 200 2\n");
  writeFileSync(
    join(dir.path, "redis.conf"),
    `# a comment\nmaxmemory 1gb\nsave 100 1\nrequirepass "a b"\nslave-read-only no\nuser ann on +@read ~x\ninclude ${dir.path}/more.conf\n`,
  );
  const { parameters, users } = settingsOfDirectives(readRedisConf(join(dir.path, "redis.conf")));
  assert.deepEqual(parameters, { maxmemory: 2 * 1024 ** 3, save: "100 1 200 2", requirepass: "a b", "replica-read-only": false });
  assert.deepEqual(users, [["ann", "on", "+@read", "~x"]]);
});

test("every wrong line is named, with the parameter that was probably meant", async () => {
  await using dir = await temporaryDirectory();
  const file = join(dir.path, "redis.conf");
  writeFileSync(file, "maxmemry 1gb\nport many\n");
  assert.throws(
    () => settingsOfDirectives(readRedisConf(file)),
    (thrown: { readonly details: { readonly problems: readonly string[] } }) => {
      assert.deepEqual(thrown.details.problems, [
        `${file}:1: unknown parameter maxmemry, did you mean maxmemory?`,
        `${file}:2: port: argument couldn't be parsed into an integer`,
      ]);
      return true;
    },
  );
  assert.throws(() => readRedisConf(join(dir.path, "missing")), { code: "config.unreadable" });
});

test("a rewritten file keeps comments and reads as the same parameters", async () => {
  await using dir = await temporaryDirectory();
  const file = join(dir.path, "redis.conf");
  writeFileSync(file, "# mine\nmaxmemory 1gb\nsave 100 1\n");
  const { parameters } = settingsOfDirectives(readRedisConf(file));
  await using running = await startStore({ port: 0, parameters, configFile: file });
  running.store.parameters.maxmemory = 5000;
  running.store.parameters["slowlog-max-len"] = 7;
  rewriteConf(running.store, file);
  assert.match(readFileSync(file, "latin1"), /^# mine\nmaxmemory 5000\nsave 100 1\n/);
  const again = settingsOfDirectives(readRedisConf(file)).parameters;
  assert.equal(again.maxmemory, 5000);
  assert.equal(again["slowlog-max-len"], 7);
  assert.equal(again.save, "100 1");
});
