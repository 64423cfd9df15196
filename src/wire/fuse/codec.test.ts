import assert from "node:assert/strict";
import { test } from "node:test";
import {
  copyIn,
  createIn,
  fallocateIn,
  flushIn,
  forgets,
  lockIn,
  mkdirIn,
  mknodIn,
  readIn,
  releaseIn,
  renameIn,
  setattrIn,
  setxattrIn,
  symlinkIn,
  writeIn,
} from "./bodies.ts";
import { initIn, putInit } from "./init.ts";
import { encodeInvalInode } from "./notify.ts";
import { OPCODE, type OpName } from "./protocol.ts";
import { FuseReply, OUT_HEADER_BYTES, type FuseAttributes } from "./reply.ts";
import { FuseError, FuseRequest, IN_HEADER_BYTES } from "./request.ts";

/** What a C compiler lays out for these values with linux/fuse.h, requests with their header. */
const VECTORS = {
  lookup: "2f0000000100000060504030201000005544332211000000e8030000e9030000e1100000000000006e61c3af766500",
  setattr:
    "800000000400000060504030201000005544332211000000e8030000e9030000e110000000000000290000000000000007000000000000009a7856341200000009000000000000000b00000000000000feffffffffffffff0d000000000000000e0000000f00000010000000a481000000000000110000001200000000000000",
  read: "500000000f00000060504030201000005544332211000000e8030000e9030000e11000000000000007000000000000000100000002000000000002000200000003000000000000000080000000000000",
  write:
    "550000001000000060504030201000005544332211000000e8030000e9030000e1100000000000000700000000000000001000000000000005000000040000000300000000000000010000000000000068656c6c6f",
  mkdir: "340000000900000060504030201000005544332211000000e8030000e9030000e110000000000000ed0100001200000064697200",
  mknod: "3c0000000800000060504030201000005544332211000000e8030000e9030000e1100000000000008021000001050000120000000000000074747900",
  create: "3d0000002300000060504030201000005544332211000000e8030000e9030000e11000000000000042000000a0810000170000000000000066696c6500",
  rename: "3a0000000c00000060504030201000005544332211000000e8030000e9030000e1100000000000004d000000000000006f6c64006e6577657200",
  rename2:
    "420000002d00000060504030201000005544332211000000e8030000e9030000e1100000000000004d0000000000000002000000000000006f6c64006e6577657200",
  symlink: "330000000600000060504030201000005544332211000000e8030000e9030000e1100000000000006c696e6b002e2e2f746f00",
  setxattr: "3a0000001500000060504030201000005544332211000000e8030000e9030000e1100000000000000300000001000000757365722e6b00007600",
  setlkw:
    "580000002100000060504030201000005544332211000000e8030000e9030000e11000000000000007000000000000001032547698badcfe0a00000000000000ffffffffffffff7f01000000370000000100000000000000",
  release:
    "400000001200000060504030201000005544332211000000e8030000e9030000e110000000000000070000000000000002000000020000001032547698badcfe",
  flush: "400000001900000060504030201000005544332211000000e8030000e9030000e110000000000000070000000000000000000000000000001032547698badcfe",
  fallocate:
    "480000002b00000060504030201000005544332211000000e8030000e9030000e1100000000000000700000000000000080000000000000009000000000000000300000000000000",
  copyFileRange:
    "600000002f00000060504030201000005544332211000000e8030000e9030000e1100000000000000100000000000000020000000000000003000000000000000400000000000000050000000000000006000000000000000000000000000000",
  batchForget:
    "500000002a00000060504030201000005544332211000000e8030000e9030000e11000000000000002000000000000000500000000000000010000000000000006000000000000000200000001000000",
  init: "680000001a00000060504030201000005544332211000000e8030000e9030000e11000000000000007000000260000000000020001004040080000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
  entry:
    "55443322110000000300000000000000010000000000000002000000000000000065cd1d80b2e60e55443322110000009a7856341200000008000000000000000b00000000000000feffffffffffffff0d000000000000000e0000000f00000010000000a4810000020000001100000012000000010500000010000000000000",
  attributes:
    "020000000000000080b2e60e0000000055443322110000009a7856341200000008000000000000000b00000000000000feffffffffffffff0d000000000000000e0000000f00000010000000a4810000020000001100000012000000010500000010000000000000",
  opened: "07000000000000002200000000000000",
  statfs:
    "64000000000000003c000000000000003c00000000000000e803000000000000de0300000000000000100000ff0000000010000000000000000000000000000000000000000000000000000000000000",
  lock: "0a00000000000000ffffffffffffff7f0100000037000000",
  dirent: "05000000000000000900000000000000050000000800000068656c6c6f000000",
  initOut:
    "07000000260000000000020001004040400030000000100001000000000100000800000000000000000000000000000000000000000000000000000000000000",
  invalInode: "28000000020000000000000000000000050000000000000000100000000000000020000000000000",
};

const NODE_ID = 0x1122334455;

const BODIES: readonly (readonly [keyof typeof VECTORS & OpName, (request: FuseRequest) => unknown, unknown])[] = [
  ["lookup", (request) => request.entryName(0), Buffer.from("naïve").toString("latin1")],
  [
    "setattr",
    setattrIn,
    {
      valid: 0x29,
      fh: 7,
      size: 0x123456789a,
      mode: 0o100644,
      uid: 17,
      gid: 18,
      atime: { sec: 11, nsec: 14 },
      mtime: { sec: -2, nsec: 15 },
      ctime: { sec: 13, nsec: 16 },
    },
  ],
  ["read", readIn, { fh: 7, offset: 0x200000001, size: 131_072, flags: 0o100000 }],
  ["write", writeIn, { fh: 7, offset: 4096, size: 5, writeFlags: 4, flags: 1, data: Buffer.from("hello") }],
  ["mkdir", mkdirIn, { mode: 0o755, umask: 0o22, name: "dir" }],
  ["mknod", mknodIn, { mode: 0o20600, rdev: 0x501, umask: 0o22, name: "tty" }],
  ["create", createIn, { flags: 0o102, mode: 0o100640, umask: 0o27, name: "file" }],
  ["rename", (request) => renameIn(request, false), { newParent: 77, flags: 0, name: "old", newName: "newer" }],
  ["rename2", (request) => renameIn(request, true), { newParent: 77, flags: 2, name: "old", newName: "newer" }],
  ["symlink", symlinkIn, { name: "link", target: "../to" }],
  ["setxattr", setxattrIn, { name: "user.k", value: Buffer.from("\0v\0"), flags: 1 }],
  ["setlkw", lockIn, { fh: 7, owner: 0xfedcba9876543210n, start: 10n, end: 0x7fffffffffffffffn, type: 1, pid: 55, flags: 1 }],
  ["release", releaseIn, { fh: 7, flags: 2, releaseFlags: 2, lockOwner: 0xfedcba9876543210n }],
  ["flush", flushIn, { fh: 7, lockOwner: 0xfedcba9876543210n }],
  ["fallocate", fallocateIn, { fh: 7, offset: 8, length: 9, mode: 3 }],
  ["copyFileRange", copyIn, { fhIn: 1, offsetIn: 2, nodeIdOut: 3, fhOut: 4, offsetOut: 5, length: 6 }],
  [
    "batchForget",
    forgotten,
    [
      [5, 1],
      [6, 0x100000002],
    ],
  ],
  ["init", initIn, { major: 7, minor: 38, readaheadBytes: 131_072, flags: new Set(["asyncRead", "maxPages", "initExt", "hasExpireOnly"]) }],
];

const ATTRIBUTES: FuseAttributes = {
  ino: NODE_ID,
  size: 0x123456789a,
  blocks: 8,
  atimeSec: 11,
  atimeNsec: 14,
  mtimeSec: -2,
  mtimeNsec: 15,
  ctimeSec: 13,
  ctimeNsec: 16,
  mode: 0o100644,
  nlink: 2,
  uid: 17,
  gid: 18,
  rdev: 0x501,
};
const VALID = { entryMs: 1500, attrMs: 2250 };

test("requests are read as C lays them out", () => {
  for (const [name, body, expected] of BODIES) {
    const request = taken(VECTORS[name]);
    const { opcode, unique, nodeId, uid, gid, pid } = request;
    assert.deepEqual(
      { opcode, unique, nodeId, uid, gid, pid },
      { opcode: OPCODE[name], unique: 0x102030405060, nodeId: NODE_ID, uid: 1000, gid: 1001, pid: 4321 },
    );
    assert.deepEqual(body(request), expected, name);
  }
});

test("answers are written as C lays them out", () => {
  const written: Readonly<Record<string, (reply: FuseReply) => unknown>> = {
    entry: (reply) => reply.entry(NODE_ID, 3, ATTRIBUTES, VALID),
    attributes: (reply) => reply.attributes(ATTRIBUTES, VALID),
    opened: (reply) => reply.opened(7, 0x22),
    statfs: (reply) => reply.statfs({ blocks: 100, blocksFree: 60, files: 1000, filesFree: 990, blockBytes: 4096 }),
    lock: (reply) => reply.lock({ start: 10n, end: 0x7fffffffffffffffn, type: 1, pid: 55 }),
    dirent: (reply) => reply.dirent("hello", 5, 0o100644, 9, 4096),
    initOut: (reply) =>
      putInit(reply, {
        minor: 38,
        readaheadBytes: 131_072,
        flags: new Set(["asyncRead", "maxPages", "initExt", "hasExpireOnly"]),
        writeBytesMax: 1_048_576,
        backgroundMax: 64,
        requestTimeoutSeconds: 0,
      }),
  };
  for (const [name, write] of Object.entries(written)) {
    const reply = new FuseReply(Buffer.alloc(4096, 0xee)); // a buffer that has served before
    write(reply);
    assert.equal(reply.bytes.subarray(OUT_HEADER_BYTES, reply.length).toString("hex"), VECTORS[name as keyof typeof VECTORS], name);
  }
  assert.equal(encodeInvalInode(5, 4096, 8192).toString("hex"), VECTORS.invalInode);
});

test("an answer carries the request's number, and an error nothing else", () => {
  const reply = new FuseReply(Buffer.alloc(64));
  reply.u64(1);
  assert.equal(
    reply.bytes.subarray(0, reply.finish(0x102030405060, 0)).toString("hex"),
    "180000000000000060504030201000000100000000000000",
  );
  assert.equal(reply.bytes.subarray(0, reply.finish(2, 2)).toString("hex"), "10000000feffffff0200000000000000");
});

test("a directory entry that does not fit is left for the next answer", () => {
  const reply = new FuseReply(Buffer.alloc(128));
  assert.equal(reply.dirent("12345678", 1, 0, 1, OUT_HEADER_BYTES + 31), false);
  assert.equal(reply.dirent("12345678", 1, 0, 1, OUT_HEADER_BYTES + 32), true);
  assert.equal(reply.length, OUT_HEADER_BYTES + 32);
});

test("a request whose length is wrong is none", () => {
  const bytes = Buffer.from(VECTORS.lookup, "hex");
  const request = new FuseRequest(Buffer.concat([bytes, Buffer.alloc(64)]));
  assert.equal(request.take(bytes.length), true);
  for (const received of [0, 4, 39, bytes.length - 1, bytes.length + 1, 4096]) assert.equal(request.take(received), false);
  request.bytes.writeUInt32LE(0xffff_ffff, 0);
  assert.equal(request.take(bytes.length), false);
});

test("a request that is cut off, wherever, is invalid and nothing behind it is read", () => {
  for (const [name, body] of BODIES) {
    const whole = Buffer.from(VECTORS[name], "hex");
    for (let length = IN_HEADER_BYTES; length < whole.length; length++) {
      const bytes = Buffer.concat([whole.subarray(0, length), Buffer.alloc(512, 0x41)]);
      bytes.writeUInt32LE(length, 0);
      const request = new FuseRequest(bytes);
      assert.equal(request.take(length), true);
      try {
        body(request); // what is at its end may not be used at all
      } catch (thrown) {
        assert.ok(thrown instanceof FuseError, `${name} at ${length}: ${String(thrown)}`);
        continue;
      }
      assert.ok(whole.length - length <= TAIL_UNUSED[name]!, `${name} read beyond ${length}`);
    }
  }
});

test("sizes that lie are refused", () => {
  const lies: readonly (readonly [keyof typeof VECTORS & OpName, number, (request: FuseRequest) => unknown])[] = [
    ["write", 16, writeIn],
    ["setxattr", 0, setxattrIn],
    ["batchForget", 0, forgotten],
  ];
  for (const [name, at, body] of lies) {
    for (const value of [6, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
      const bytes = Buffer.from(VECTORS[name], "hex");
      bytes.writeUInt32LE(value, IN_HEADER_BYTES + at);
      const request = new FuseRequest(bytes);
      assert.equal(request.take(bytes.length), true);
      assert.throws(() => body(request), FuseError, `${name} ${value}`);
    }
  }
});

test("names are any bytes, 255 at most", () => {
  assert.equal(named(Buffer.from([0x66, 0xff, 0])).entryName(0), "f\u00ff");
  assert.throws(() => named(Buffer.from(`${"x".repeat(256)}\0`)).entryName(0), { errno: 36 });
  assert.equal(named(Buffer.from(`${"x".repeat(255)}\0`)).entryName(0).length, 255);
  assert.throws(() => named(Buffer.from("endless")).entryName(0), { errno: 22 });
});

/** Bytes at the end of a structure that the kernel pads with or that nobody needs. */
const TAIL_UNUSED: Readonly<Record<string, number>> = { setattr: 4, read: 4, setlkw: 4, fallocate: 4, copyFileRange: 8, init: 44 };

function taken(hex: string): FuseRequest {
  const bytes = Buffer.from(hex, "hex");
  const request = new FuseRequest(bytes);
  assert.equal(request.take(bytes.length), true);
  return request;
}

function named(name: Buffer): FuseRequest {
  const bytes = Buffer.concat([Buffer.from(VECTORS.lookup, "hex").subarray(0, IN_HEADER_BYTES), name]);
  bytes.writeUInt32LE(bytes.length, 0);
  const request = new FuseRequest(bytes);
  request.take(bytes.length);
  return request;
}

function forgotten(request: FuseRequest): (readonly [number, number])[] {
  const all: (readonly [number, number])[] = [];
  forgets(request, (nodeId, lookups) => all.push([nodeId, lookups]));
  return all;
}
