import assert from "node:assert/strict";
import { test } from "node:test";
import { Metadata, status } from "@grpc/grpc-js";
import { AnaxError, ERRORS, type ErrorCode } from "../../base/errors.ts";
import { addressText, parseGrpcAddress } from "./address.ts";
import { errorOfStatus, statusOf } from "./status.ts";
import { durationOf, msOf, timestampOf, wallMsOf } from "./time.ts";

const ADDRESSES = [
  ["10.0.0.7:65000", { host: "10.0.0.7", port: 65_000 }],
  ["[::1]:0", { host: "::1", port: 0 }],
  ["seed.example:8002", { host: "seed.example", port: 8002 }],
  ["unix:/run/anax/d.sock", { path: "/run/anax/d.sock" }],
  ["unix:relative.sock", { path: "relative.sock" }],
] as const;

for (const [text, address] of ADDRESSES) {
  test(`the address ${text} is read and written`, () => {
    assert.deepEqual(parseGrpcAddress(text), address);
    assert.equal(addressText(address), text);
  });
}

test("an address with an authority part means the path behind it", () => {
  assert.deepEqual(parseGrpcAddress("unix:///run/d.sock"), { path: "/run/d.sock" });
});

for (const text of ["", "host", "host:", ":1", "host:99999", "a:b:1", "http://host:1", "unix:", `unix:/${"x".repeat(107)}`]) {
  test(`"${text.slice(0, 20)}" is no address`, () => {
    assert.throws(() => parseGrpcAddress(text), { code: "input.invalid" });
  });
}

test("every code of the table crosses the wire as itself and has a status of gRPC", () => {
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const sent = statusOf(new AnaxError(code, { taskId: "t", parts: ["a"], ok: true }));
    assert.equal(status[sent.code], ERRORS[code].grpc.toUpperCase());
    const received = errorOfStatus(sent, "/m");
    assert.deepEqual([received.code, received.details], [code, { taskId: "t", parts: ["a"], ok: true }]);
  }
});

test("every status of a foreign server has a code", () => {
  for (const [name, code] of Object.entries(status)) {
    if (typeof code !== "number" || code === status.OK) continue;
    const { code: ours } = errorOfStatus({ code, details: "why", metadata: new Metadata() }, "/m");
    assert.equal(ours, `rpc.${name.toLowerCase().replaceAll("_", "-")}`);
    assert.equal(ERRORS[ours].grpc, name.toLowerCase());
  }
});

test("details of the wrong kinds are dropped, and damaged ones do not hide the error", () => {
  for (const [text, details] of [
    ['{"a":{"b":1},"c":[1],"d":null,"e":"f"}', { e: "f" }],
    ["[1]", {}],
    ["{", {}],
    [`"${"x".repeat(9000)}"`, {}],
  ] as const) {
    const metadata = new Metadata();
    metadata.set("anax-error-code", "task.not-found");
    metadata.set("anax-error-details-bin", Buffer.from(text));
    const error = errorOfStatus({ code: status.NOT_FOUND, details: "", metadata }, "/m");
    assert.deepEqual([error.code, error.details], ["task.not-found", details]);
  }
});

test("a code that we do not know is taken for what its status says", () => {
  const metadata = new Metadata();
  metadata.set("anax-error-code", "constructor");
  assert.equal(errorOfStatus({ code: status.ABORTED, details: "", metadata }, "/m").code, "rpc.aborted");
});

test("details too long for a trailer are left out", () => {
  assert.deepEqual(errorOfStatus(statusOf(new AnaxError("task.not-found", { url: "u".repeat(5000) })), "/m").details, {});
});

test("times survive the way through protobuf, before the epoch and below zero too", () => {
  for (const ms of [0, 1, 999, 1_700_000_000_123, -1, -1500]) {
    assert.equal(wallMsOf(timestampOf(ms)), ms);
    assert.equal(msOf(durationOf(ms)), ms);
  }
  assert.deepEqual(timestampOf(-1), { seconds: -1, nanos: 999_000_000 });
  assert.deepEqual(durationOf(-1500), { seconds: -1, nanos: -500_000_000 });
});
