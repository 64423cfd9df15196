import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { AnaxError } from "../../base/errors.ts";
import { createHashRing, schedulerOf } from "./hash-ring.ts";
import { parseTaskId } from "./ids.ts";
import { sipHash24 } from "./siphash.ts";

/** All vectors here: computed once with Rust 1.88 and crates hashring 0.3.6, siphasher 0.3.11, with a node that holds one `SocketAddr`. */
const POINTS: readonly (readonly [string, number, string])[] = [
  ["10.0.0.1", 8002, "9948a09af7ec8dee"],
  ["192.168.1.20", 65535, "74981530d312e255"],
  ["0.0.0.0", 0, "c2e1072f8503377f"],
  ["::1", 8002, "3f52c1d091552b23"],
  ["2001:db8::dead:beef", 443, "4f13234f29f7c484"],
  ["::ffff:10.0.0.1", 8002, "7898176ed4349456"],
];

/** Schedulers, and for the task ids sha256("0"), sha256("1")… which of them (by index) upstream asks. */
const RINGS: readonly (readonly [readonly string[], string])[] = [
  [["10.0.0.1:8002"], "0000000000000000000000000000000000000000000000000000000000000000"],
  [["10.0.0.1:8002", "10.0.0.2:8002", "10.0.0.3:8002"], "1011111110111010111011001111111011011111120001101011101100111111"],
  [
    ["10.0.0.1:8002", "10.0.0.1:9002", "10.0.0.2:8002", "192.168.7.31:8002", "172.16.0.9:18002"],
    "4032443320333020432023003332244033033334300002304033403200434234",
  ],
  [["[2001:db8::1]:8002", "[2001:db8::2]:8002", "[fd00::aa:1]:8002"], "2122222120111020212021001112222011021112100002102011211200212212"],
  [
    ["10.0.0.1:8002", "[::1]:8002", "[::ffff:10.0.0.2]:8002", "203.0.113.9:8002"],
    "2021222310333010232013003332122033023332310002302033203200232232",
  ],
];

const HASHES = [
  ["ff", "20dd4eb33d9590f2"],
  ["6162636465ff", "f4cdb0a996a23a5e"],
  ["30313233343536373839616263646566ff", "d55e7fdf30ae0b3e"],
] as const;

const addressOf = (text: string): { ip: string; port: number } => {
  const at = text.lastIndexOf(":");
  return { ip: text.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(text.slice(at + 1)) };
};
const taskOf = (index: number) => parseTaskId(createHash("sha256").update(String(index)).digest("hex"));

test("SipHash equals Rust's", () => {
  for (const [input, hash] of HASHES) assert.equal(sipHash24(Buffer.from(input, "hex")), BigInt(`0x${hash}`));
});

test("a scheduler sits on the ring where Rust puts it", () => {
  for (const [ip, port, point] of POINTS) assert.equal(createHashRing([{ ip, port }])[0]?.point, BigInt(`0x${point}`), `${ip} ${port}`);
});

test("tasks go to the schedulers that upstream chooses, whatever order the list has", () => {
  for (const [texts, choices] of RINGS) {
    const schedulers = texts.map(addressOf);
    for (const ring of [createHashRing(schedulers), createHashRing(schedulers.toReversed())]) {
      const chosen = Array.from(choices, (_, index) => schedulers.indexOf(schedulerOf(ring, taskOf(index))!));
      assert.equal(chosen.join(""), choices);
    }
  }
});

test("every spelling of an IPv6 address is the same scheduler", () => {
  const spellings = ["2001:db8::10.0.0.1", "2001:DB8:0:0:0:0:a00:1", "2001:db8::a00:1"];
  assert.equal(new Set(createHashRing(spellings.map((ip) => ({ ip, port: 1 }))).map(({ point }) => point)).size, 1);
});

test("an empty ring has no scheduler, and names are no addresses", () => {
  assert.equal(schedulerOf(createHashRing([]), taskOf(0)), undefined);
  for (const [ip, port] of [
    ["scheduler", 1],
    ["fe80::1%eth0", 1],
    ["10.0.0.256", 1],
    ["10.0.0.1", 65_536],
    ["10.0.0.1", 1.5],
  ] as const) {
    assert.throws(() => createHashRing([{ ip, port }]), AnaxError);
  }
});
