import assert from "node:assert/strict";
import { test } from "node:test";
import { AnaxError } from "../base/errors.ts";
import { VALUE_BYTES_MAX, type Register } from "./register.ts";

export interface RegisterUnderTest {
  readonly open: () => Promise<Register>;
}

/** What every register does, whatever it is kept in. `cell` names cells that no other run has used. */
export function registerConformance(name: string, underTest: RegisterUnderTest): void {
  const cell = `conformance/${process.pid}/`;

  test(`${name}: a cell that was never set has version 0 and no value`, async () => {
    await using register = await underTest.open();
    assert.deepEqual(await register.read(`${cell}none`), { version: 0, value: "" });
  });

  test(`${name}: a change needs the version that is there, and every change adds one`, async () => {
    await using register = await underTest.open();
    const one = `${cell}one`;
    assert.deepEqual(await register.compareAndSet(one, { expected: 0, value: "a" }), { kind: "set", version: 1 });
    assert.deepEqual(await register.compareAndSet(one, { expected: 0, value: "b" }), conflict(1, "a"));
    assert.deepEqual(await register.compareAndSet(one, { expected: 1, value: "ü \u{1F980} \n\0".slice(0, -1) }), {
      kind: "set",
      version: 2,
    });
    assert.deepEqual(await register.compareAndSet(one, { expected: 1, value: "c" }), conflict(2, "ü \u{1F980} \n"));
    assert.deepEqual(await register.compareAndSet(one, { expected: 9, value: "c" }), conflict(2, "ü \u{1F980} \n"));
    assert.deepEqual(await register.read(one), { version: 2, value: "ü \u{1F980} \n" });
  });

  test(`${name}: a version that is not there yet is refused for a cell that is not there, too`, async () => {
    await using register = await underTest.open();
    assert.deepEqual(await register.compareAndSet(`${cell}absent`, { expected: 3, value: "x" }), conflict(0, ""));
  });

  test(`${name}: a long value goes in and out; a longer one is refused`, async () => {
    await using register = await underTest.open();
    const value = "v".repeat(VALUE_BYTES_MAX);
    await register.compareAndSet(`${cell}long`, { expected: 0, value });
    assert.equal((await register.read(`${cell}long`)).value, value);
    await assert.rejects(register.compareAndSet(`${cell}long`, { expected: 1, value: `${value}v` }), coded("input.invalid"));
  });

  test(`${name}: of writers at the same time one wins each version, and what one has set all see`, async () => {
    await using scope = new AsyncDisposableStack();
    const writers = await Promise.all(Array.from({ length: 4 }, async () => scope.use(await underTest.open())));
    const shared = `${cell}shared`;
    const won: number[] = [];
    await Promise.all(
      writers.map(async (writer, index) => {
        for (let set = 0; set < 10;) {
          const before = await writer.read(shared);
          const outcome = await writer.compareAndSet(shared, { expected: before.version, value: `${before.value}${index}` });
          if (outcome.kind === "conflict") assert.ok(outcome.current.version > before.version);
          else {
            won.push(outcome.version);
            set++;
          }
        }
      }),
    );
    assert.deepEqual(
      won.toSorted((a, b) => a - b),
      Array.from({ length: 40 }, (_, index) => index + 1),
    );
    for (const writer of writers) {
      const { version, value } = await writer.read(shared);
      assert.equal(version, 40);
      for (const digit of "0123") assert.equal(value.split(digit).length - 1, 10); // no change was lost
    }
  });
}

export const coded =
  (...codes: readonly string[]) =>
  (error: unknown): boolean =>
    error instanceof AnaxError && codes.includes(error.code);

const conflict = (version: number, value: string) => ({ kind: "conflict", current: { version, value } });
