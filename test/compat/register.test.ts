import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { realClock } from "../../src/base/clock.ts";
import { startStore } from "../../src/kv/start-store.ts";
import { openRegister } from "../../src/register/open-register.ts";
import type { Register } from "../../src/register/register.ts";
import { coded, registerConformance } from "../../src/register/register.conformance.ts";
import { freePort, waitFor } from "../kit/process.ts";
import { REGISTER_ENGINES, type EngineKind, type RegisterEngine } from "../kit/register-engines.ts";
import { startReplyCutter } from "../kit/reply-cutter.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

// The register on every engine that it is kept in, the real ones: what each must do, and what it does when the engine or the way to it fails.

const TIMEOUT_MS = 20_000; // far beyond what an engine takes, on a machine that does much else
const SHORT_MS = 300;

for (const kind of REGISTER_ENGINES) {
  const lack = kind.lack();
  if (lack === undefined) faults(kind);
  else test(`${kind.name} as a register`, { skip: lack }, () => undefined);
}

function faults(kind: EngineKind): void {
  const scope = new AsyncDisposableStack();
  let engine: RegisterEngine;
  let running: AsyncDisposable;
  const open = (port = engine.port, timeoutMs = TIMEOUT_MS): Promise<Register> =>
    openRegister(engine.urlOn(port), { clock: realClock, timeoutMs });

  before(async () => {
    engine = await kind.prepare(scope.use(await temporaryDirectory()).path);
    running = await engine.run();
    scope.defer(() => running[Symbol.asyncDispose]());
  });
  after(() => scope.disposeAsync());

  registerConformance(kind.name, { open: () => open() });

  test(`${kind.name}: the answer to a change is lost: unknown, until it is sent again or read`, async () => {
    await using direct = await open();
    await using cutter = await startReplyCutter(engine.port);
    await using register = await open(cutter.port);
    await register.compareAndSet("lost", { expected: 0, value: "first" }); // and there is a connection
    cutter.holdReplies();
    const lost = assert.rejects(register.compareAndSet("lost", { expected: 1, value: "second" }), coded("register.unknown"));
    await waitFor(async () => (await direct.read("lost")).version === 2); // it was made
    cutter.cut();
    await lost;
    // The same again does nothing twice, and shows what is there.
    const again = await settled(() => register.compareAndSet("lost", { expected: 1, value: "second" }));
    assert.deepEqual(again, { kind: "conflict", current: { version: 2, value: "second" } });
  });

  test(`${kind.name}: an answer that does not come ends at the deadline, and a late one is not taken for another's`, async () => {
    await using cutter = await startReplyCutter(engine.port);
    await using register = await open(cutter.port, TIMEOUT_MS);
    await using impatient = await open(cutter.port, SHORT_MS);
    await register.compareAndSet("late", { expected: 0, value: "a" });
    await settled(() => impatient.read("late"));
    cutter.holdReplies();
    await assert.rejects(impatient.compareAndSet("late", { expected: 1, value: "b" }), coded("register.unknown"));
    await assert.rejects(impatient.read("late"), coded("register.unreachable"));
    cutter.cut();
    assert.equal((await settled(() => register.read("late"))).value, "b");
  });

  test(`${kind.name}: an engine that restarts keeps what it confirmed, and is found again`, async () => {
    await using register = await open();
    await register.compareAndSet("restart", { expected: 0, value: "kept" });
    await running[Symbol.asyncDispose]();
    await assert.rejects(register.read("restart"), coded("register.unreachable"));
    await assert.rejects(register.compareAndSet("restart", { expected: 1, value: "x" }), coded("register.unreachable", "register.unknown"));
    running = await engine.run();
    assert.deepEqual(await settled(() => register.read("restart")), { version: 1, value: "kept" });
    assert.deepEqual(await register.compareAndSet("restart", { expected: 1, value: "more" }), { kind: "set", version: 2 });
  });

  test(`${kind.name}: nobody listens: certainly not changed; nobody answers: the deadline`, async () => {
    await using nobody = await open(await freePort(), SHORT_MS);
    await assert.rejects(nobody.read("x"), coded("register.unreachable"));
    await assert.rejects(nobody.compareAndSet("x", { expected: 0, value: "" }), coded("register.unreachable", "register.unknown"));
    await using hole = await startReplyCutter(engine.port);
    hole.holdReplies();
    await using silent = await open(hole.port, SHORT_MS);
    await assert.rejects(silent.read("x"), coded("register.unreachable"));
    await assert.rejects(silent.compareAndSet("x", { expected: 0, value: "" }), coded("register.unreachable", "register.unknown"));
  });
}

test("a Redis that may forget what it has confirmed is no register, unless it is said to be", async () => {
  await using store = await startStore({ port: 0 });
  await using refused = await openRegister(`redis://127.0.0.1:${store.port}`, { clock: realClock });
  await assert.rejects(refused.read("x"), coded("register.lossy"));
  await using taken = await openRegister(`redis://127.0.0.1:${store.port}?lossy=allowed`, { clock: realClock });
  assert.equal((await taken.read("x")).version, 0);
});

/** A connection that was broken takes a moment to be made anew. */
async function settled<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (tries === 40 || !coded("register.unreachable", "register.unknown")(error)) throw error;
      await realClock.sleep(100);
    }
  }
}
