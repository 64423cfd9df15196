import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../base/random.ts";
import { HashValue } from "./hash-value.ts";
import { SetValue } from "./set-value.ts";

/** What is scanned: few strings, many, and integers in typed arrays; each starts without the form that is visited whole. */
interface Scanned {
  add(member: string): void;
  remove(member: string): void;
  scan(cursor: number, visit: (member: string) => void): number;
}

function scannedSet(prefix: string): Scanned {
  const set = new SetValue();
  return {
    add: (member) => set.add(prefix + member, 0),
    remove: (member) => set.remove(prefix + member),
    scan: (cursor, visit) => set.scan(cursor, 3, (member) => visit(member.slice(prefix.length))),
  };
}

function scannedHash(): Scanned {
  const hash = new HashValue();
  return {
    add: (member) => hash.set(member, "v", { "hash-max-listpack-entries": 0, "hash-max-listpack-value": 64 }),
    remove: (member) => hash.delete(member),
    scan: (cursor, visit) => hash.scan(cursor, 3, (position) => visit(hash.fieldAt(position))),
  };
}

test("a scan meets whatever is there from its first call to its last", () => {
  const makers: readonly (readonly [string, () => Scanned])[] = [
    ["set of strings", () => scannedSet("s")],
    ["set of integers", () => scannedSet("")],
    ["hash", scannedHash],
  ];
  for (const [what, make] of makers)
    for (const stays of [5, 100])
      for (let seed = 1; seed <= 20; seed++) {
        const random = createRandom(seed);
        const scanned = make();
        let others = 1000;
        const added: string[] = [];
        const change = (chance: number): void => {
          if (random.next() < chance) {
            added.push(String(others++));
            scanned.add(added.at(-1)!);
          } else if (added.length > 0) scanned.remove(added.splice(random.below(added.length), 1)[0]!);
        };
        for (let i = 0; i < stays; i++) {
          for (let n = random.below(4); n > 0; n--) change(1);
          scanned.add(String(i));
        }
        const met = new Set<string>();
        let cursor = 0;
        let calls = 0;
        do {
          cursor = scanned.scan(cursor, (member) => met.add(member));
          for (let n = random.below(8); n > 0; n--) change(calls < 10 ? 0.7 : 0.2);
          assert.ok(++calls < 10_000, "the scan does not end");
        } while (cursor !== 0);
        for (let i = 0; i < stays; i++) assert.ok(met.has(String(i)), `${what}, seed ${seed}: ${i} was not met`);
      }
});
