import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { startStoreProcess } from "../../../test/store/store-process.ts";
import { latin1Of } from "../../base/latin1.ts";
import { aStore, type StoreFixture } from "../store-fixture.ts";

/** What is handed on after each command: whether it belongs together, and each part with who gets it. */
function told({ store }: StoreFixture): () => string[] {
  let all: string[] = [];
  store.propagation.sinks.add((effects) => {
    const parts = Array.from({ length: effects.count }, (_, index) => {
      const words = latin1Of(effects.bytesOf(index)).split("\r\n");
      return `${words.filter((word, at) => at % 2 === 0 && word !== "").join(" ")} ${effects.targetsOf(index)}`.slice(3);
    });
    all.push(`${effects.atomic ? "together: " : ""}${parts.join(", ")}`);
  });
  return () => all.splice(0);
}

test("what a script changes is handed on as one, a single command alone", () => {
  const fixture = aStore();
  const { call } = fixture;
  const effects = told(fixture);
  call("EVAL", "redis.call('set', 'a', 1) redis.call('get', 'a') redis.call('incr', 'a')", "0");
  assert.deepEqual(effects(), ["together: set a 1 3, incr a 3"]);
  call("EVAL", "redis.call('set', 'a', 1)", "0");
  assert.deepEqual(effects(), ["set a 1 3"]);
  call("EVAL", "return redis.call('get', 'a')", "0");
  assert.deepEqual(effects(), []);
});

test("what a script has changed before it fails is handed on", () => {
  const fixture = aStore();
  const { call } = fixture;
  const effects = told(fixture);
  assert.match(String(call("EVAL", "redis.call('set', 'a', 1) error('no')", "0")), /^-ERR user_script:1: no script: /);
  assert.deepEqual(effects(), ["set a 1 3"]);
  assert.equal(call("GET", "a"), "1");
});

test("redis.set_repl says who gets what is changed, until the script ends", () => {
  const fixture = aStore();
  const { call } = fixture;
  const effects = told(fixture);
  call(
    "EVAL",
    `redis.call('set', 'a', 1) redis.set_repl(redis.REPL_NONE) redis.call('set', 'b', 2)
     redis.set_repl(redis.REPL_AOF) redis.call('set', 'c', 3) redis.set_repl(redis.REPL_REPLICA) redis.call('set', 'd', 4)`,
    "0",
  );
  call("SET", "e", "5");
  assert.deepEqual(effects(), ["together: set a 1 3, set b 2 0, set c 3 1, set d 4 2", "SET e 5 3"]);
});

test("a transaction with a script in it is handed on as one", () => {
  const fixture = aStore();
  const { call } = fixture;
  const effects = told(fixture);
  call("MULTI");
  call("SET", "a", "1");
  call("EVAL", "redis.call('incr', 'a') redis.call('incr', 'a')", "0");
  call("EXEC");
  assert.deepEqual(effects(), ["together: SET a 1 3, incr a 3, incr a 3"]);
});

test("a script that recurses until the stack is used up ends between commands, not within one", () => {
  const { call } = aStore();
  const reply = call(
    "EVAL",
    "local n = 0 local function f() n = n + 1 redis.call('lpush', 'l', n) return 1 + f() end local ok, e = pcall(f) return {tostring(ok), e, n - redis.call('llen', 'l')}",
    "0",
  );
  assert.ok(Array.isArray(reply));
  assert.deepEqual(reply.slice(0, 2), ["false", "user_script:1: stack overflow"]);
  assert.ok(reply[2] === 0 || reply[2] === 1);
  assert.equal(call("PING"), "PONG");
});

test("a script that wants too much memory is refused it", () => {
  const { call } = aStore();
  assert.match(String(call("EVAL", "return #string.rep('x', 1e12)", "0")), /^-ERR not enough memory/);
  assert.match(String(call("EVAL", "local s = 'x' while true do s = s .. s end", "0")), /^-ERR not enough memory/);
  assert.match(String(call("EVAL", "return #string.rep('x', 1e6):rep(1e6)", "0")), /^-ERR not enough memory/);
});

test("a script whose tables grow without end is stopped before memory is", async () => {
  const worker = new Worker(GROWTH, {
    eval: true,
    workerData: new URL("../store-fixture.ts", import.meta.url).href,
    resourceLimits: { maxOldGenerationSizeMb: 120 },
  });
  const [replies] = (await once(worker, "message")) as [string[]]; // what `GROWTH` sends
  await worker.terminate();
  assert.equal(replies.length, 3);
  for (const reply of replies) assert.match(reply, /^-ERR not enough memory/);
});

const GROWTH = `
  const { parentPort, workerData } = require("node:worker_threads");
  import(workerData).then(({ aStore }) => {
    const { call } = aStore();
    const bodies = ["t[#t+1] = {}", "t['k' .. i] = i", "t[i] = string.rep('x', 1000) .. i"];
    parentPort.postMessage(bodies.map((body) => call("EVAL", "local t = {} for i = 1, 1e9 do " + body + " end", "0")));
  });
`;

test("nothing of JavaScript can be reached", () => {
  const { call } = aStore();
  for (const expression of [
    "('').constructor",
    "({}).__proto__",
    "({}).hasOwnProperty",
    "(1 == 1 and redis.call or 0) == nil",
    "pcall(function() return redis.call.constructor end)",
    "pcall(function() return (5).toString end)",
    "rawget(_G, 'process')",
    "rawget(_G, 'globalThis')",
  ])
    assert.match(JSON.stringify(call("EVAL", `return ${expression} or false`, "0")), /^null$/);
});

test("functions of a library share what the library made, and a failed load changes nothing", () => {
  const { call } = aStore();
  const library = (body: string): string => `#!lua name=lib\n${body}`;
  const counting = library("local n = 0 redis.register_function('count', function(keys, args) n = n + 1 return n end)");
  assert.equal(call("FUNCTION", "LOAD", counting), "lib");
  assert.equal(call("FCALL", "count", "0"), 1);
  assert.equal(call("FCALL", "COUNT", "0"), 2);
  assert.match(String(call("FUNCTION", "LOAD", "REPLACE", library("redis.register_function('count', 5)"))), /must be a function/);
  assert.equal(call("FCALL", "count", "0"), 3);
  const payload = call("FUNCTION", "DUMP") as string; // a bulk string
  assert.equal(call("FUNCTION", "FLUSH"), "OK");
  assert.match(String(call("FUNCTION", "RESTORE", `${payload.slice(0, -1)}x`)), /payload version or checksum/);
  assert.equal(call("FUNCTION", "RESTORE", payload), "OK");
  assert.equal(call("FCALL", "count", "0"), 1);
  assert.deepEqual(call("FUNCTION", "LIST", "WITHCODE"), [
    ["library_name", "lib", "engine", "LUA", "functions", [["name", "count", "description", null, "flags", []]], "library_code", counting],
  ]);
});

/** A connection that answers text. */
async function connected(
  port: number,
): Promise<{ readonly socket: Socket; readonly send: (text: string) => void; readonly line: () => Promise<string> }> {
  const socket = connect(port, "127.0.0.1").setEncoding("latin1");
  await once(socket, "connect");
  let received = "";
  socket.on("data", (text: string) => (received += text));
  return {
    socket,
    send: (text) => void socket.write(`${text}\r\n`),
    async line() {
      while (!received.includes("\r\n")) await once(socket, "data");
      const end = received.indexOf("\r\n");
      const line = received.slice(0, end);
      received = received.slice(end + 2);
      return line;
    },
  };
}

test("while a script takes too long others are answered BUSY, and can end it", { skip: process.platform === "win32" }, async () => {
  // Its script has the thread to itself: this one must be another.
  await using server = await startStoreProcess({ port: 0, parameters: { "busy-reply-threshold": 20 } });
  const { port } = server;
  const [first, second] = [await connected(port), await connected(port)];
  second.send("PING");
  assert.equal(await second.line(), "+PONG");
  // Both in one turn, and the one that was answered before the script does not wait for it.
  server.signal("SIGSTOP");
  second.send("PING");
  first.send('EVAL "while true do pcall(function() while true do end end) end" 0');
  server.signal("SIGCONT");
  assert.equal(await second.line(), "+PONG");
  // The server reads nothing else until the script has run for its time: whatever is sent meanwhile is answered then.
  let reply: string;
  do {
    second.send("PING");
    reply = await second.line();
  } while (reply === "+PONG");
  assert.equal(reply, "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.");
  second.send("FUNCTION KILL");
  assert.match(await second.line(), /^-BUSY /);
  // Where the server can accept meanwhile, one that comes only now can end it, too.
  const third = hasKoffi() ? await connected(port) : second;
  third.send("SCRIPT KILL");
  assert.equal(await third.line(), "+OK");
  assert.match(await first.line(), /^-ERR Script killed by user with SCRIPT KILL/);
  second.send("PING");
  assert.equal(await second.line(), "+PONG");
  second.send("SCRIPT KILL");
  assert.equal(await second.line(), "-NOTBUSY No scripts in execution right now.");
  for (const { socket } of [first, second, third]) socket.destroy();
});

/** The optional library with which it can. */
function hasKoffi(): boolean {
  try {
    createRequire(import.meta.url)("koffi");
    return process.platform === "linux";
  } catch {
    return false;
  }
}
