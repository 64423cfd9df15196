import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { createRandom, type Random } from "../../base/random.ts";
import { RECEIVE_BYTES_MAX } from "./caller.ts";
import { Download, Host, Task } from "./gen/common/v2/common.ts";
import { AnnouncePeerRequest, AnnouncePeerResponse, SchedulerService } from "./gen/scheduler/v2/scheduler.ts";
import { collect, serve, unbounded, type Served } from "./grpc-fixture.ts";
import { serviceOf } from "./service.ts";

const statTask = "/scheduler.v2.Scheduler/StatTask";
const announcePeer = "/scheduler.v2.Scheduler/AnnouncePeer";
const service = serviceOf(SchedulerService, {
  statTask: ({ taskId }) => Task.fromPartial({ id: taskId }),
  announcePeer: async ({ requests, send }) => {
    for await (const _ of requests) await send({});
  },
});

/** A message as gRPC frames it: a flag, the length in big endian, the bytes. */
function framed(message: Uint8Array, { compressed = false, claims = message.length } = {}): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed ? 1 : 0, 0);
  head.writeUInt32BE(claims, 1);
  return Buffer.concat([head, message]);
}

interface Answer {
  readonly status: string | undefined;
  readonly code: string | undefined;
}

/** Sends raw bytes as the body of a call; gives the status that the server ended it with. */
async function ask(session: ClientHttp2Session, path: string, body: Buffer, headers: Record<string, string> = {}): Promise<Answer> {
  const call = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", ...headers });
  const found: Record<string, unknown> = {};
  call.on("response", (fields) => Object.assign(found, fields)).on("trailers", (fields) => Object.assign(found, fields));
  call.on("error", () => undefined); // a reset is an answer too
  call.resume().end(body);
  await once(call, "close");
  return { status: found["grpc-status"] as string | undefined, code: found["anax-error-code"] as string | undefined };
}

async function assertServing(served: Served): Promise<void> {
  const task = await served.channel.unary(SchedulerService.statTask, { hostId: "h", taskId: "still here" }, { timeoutMs: 10_000 });
  assert.equal(task.id, "still here");
}

const good = Buffer.from("120174", "hex"); // task_id "t"
const CASES: readonly (readonly [title: string, path: string, body: Buffer, headers: Record<string, string>, expected: Answer])[] = [
  ["a good message, to prove the method", statTask, framed(good), {}, { status: "0", code: undefined }],
  ["bytes that are no message", statTask, framed(Buffer.from("0affff", "hex")), {}, { status: "3", code: "input.invalid" }],
  [
    "bytes that are no message, in a stream",
    announcePeer,
    framed(Buffer.from("0affff", "hex")),
    {},
    { status: "3", code: "input.invalid" },
  ],
  ["a length beyond the limit", statTask, framed(good, { claims: 0xffff_ffff }), {}, { status: "8", code: undefined }],
  [
    "a length beyond the limit, in a stream",
    announcePeer,
    framed(good, { claims: RECEIVE_BYTES_MAX + 1 }),
    {},
    { status: "8", code: undefined },
  ],
  ["a body that ends inside of a message", statTask, framed(good, { claims: 100 }), {}, { status: "12", code: undefined }],
  ["no message at all", statTask, Buffer.alloc(0), {}, { status: "12", code: undefined }],
  ["two messages where one belongs", statTask, Buffer.concat([framed(good), framed(good)]), {}, { status: "12", code: undefined }],
  ["an unknown compression", statTask, framed(good, { compressed: true }), { "grpc-encoding": "zip" }, { status: "12", code: undefined }],
  ["damaged compression", statTask, framed(good, { compressed: true }), { "grpc-encoding": "gzip" }, { status: "13", code: undefined }],
  [
    "a small body that unpacks beyond the limit",
    statTask,
    framed(gzipSync(Buffer.alloc(RECEIVE_BYTES_MAX * 4)), { compressed: true }),
    { "grpc-encoding": "gzip" },
    { status: "8", code: undefined },
  ],
  ["a deadline that is no time", statTask, framed(good), { "grpc-timeout": "soon" }, { status: "13", code: undefined }],
  ["a method that does not exist", "/scheduler.v2.Scheduler/Nope", framed(good), {}, { status: "12", code: undefined }],
  ["a path that is none", "/", framed(good), {}, { status: "12", code: undefined }],
];

for (const [title, path, body, headers, expected] of CASES) {
  test(`${title}: answered with status ${expected.status}, and the server goes on`, async () => {
    await using served = await serve([service]);
    const session = connectHttp2(`http://127.0.0.1:${served.address.port}`).on("error", () => undefined);
    const answer = await ask(session, path, body, headers);
    session.destroy();
    assert.deepEqual(answer, expected);
    await assertServing(served);
  });
}

test("a request that is not gRPC is refused as HTTP", async () => {
  await using served = await serve([service]);
  const session = connectHttp2(`http://127.0.0.1:${served.address.port}`);
  const call = session.request({ ":method": "POST", ":path": statTask, "content-type": "text/plain" });
  const [headers] = (await once(call.resume().end(), "response")) as [{ ":status": number }];
  assert.equal(headers[":status"], 415);
  session.destroy();
  await assertServing(served);
});

test("a request or a response that is too long names the limit that it broke", async () => {
  const long = "x".repeat(RECEIVE_BYTES_MAX + 1);
  const echo = serviceOf(SchedulerService, {
    statTask: () => Task.fromPartial({ url: long }),
    announcePeer: async ({ requests }) => void (await collect(requests)),
  });
  await using served = await serve([echo]);
  await assert.rejects(served.channel.unary(SchedulerService.statTask, { hostId: "", taskId: "" }, { timeoutMs: 10_000 }), {
    code: "rpc.resource-exhausted",
  });
  await assert.rejects(served.channel.unary(SchedulerService.statTask, { hostId: long, taskId: "" }, { timeoutMs: 10_000 }), {
    code: "rpc.resource-exhausted",
  });
  using stream = served.channel.bidi(SchedulerService.announcePeer, { signal: unbounded() });
  stream.send({ hostId: long, taskId: "", peerId: "" }).catch(() => undefined); // the transport may take it before the server refuses it
  await assert.rejects(collect(stream.responses), { code: "rpc.resource-exhausted" });
});

test("connections that speak anything but HTTP/2, or speak it wrongly, harm nobody else", async () => {
  await using served = await serve([service]);
  const random = createRandom(2026);
  for (let round = 0; round < 150; round++) {
    const socket = connect(served.address.port, "127.0.0.1").on("error", () => undefined);
    await once(socket, "connect");
    for (const part of noise(random)) socket.write(part);
    // Half of them wait for what the server does, half are simply gone.
    if (round % 2 === 0) socket.destroy();
    else socket.end();
  }
  await assertServing(served);
  assert.deepEqual(served.reported, []);
});

test("mangled messages are refused or read, never anything else", () => {
  const random = createRandom(7);
  const peer = { id: "p", task: { id: "t", requestHeader: { a: "b" } }, host: { cpu: { times: {} } }, pieces: [{ number: 1 }] };
  const vectors = [
    [
      AnnouncePeerRequest,
      AnnouncePeerRequest.encode(
        AnnouncePeerRequest.fromPartial({ request: { $case: "reschedulePeerRequest", value: { candidateParents: [peer] } } }),
      ),
    ],
    [
      AnnouncePeerResponse,
      AnnouncePeerResponse.encode(
        AnnouncePeerResponse.fromPartial({ response: { $case: "normalTaskResponse", value: { candidateParents: [peer, peer] } } }),
      ),
    ],
    [Download, Download.encode(Download.fromPartial({ url: "u", range: { start: 1, length: 2 }, certificateChain: [Buffer.alloc(9)] }))],
    [Host, Host.encode(Host.fromPartial({ id: "h", disk: { total: 2 ** 50 }, network: { idc: "x" } }))],
  ] as const;
  let refused = 0;
  for (const [codec, writer] of vectors) {
    const bytes = writer.finish();
    for (let round = 0; round < 3000; round++) if (!reads(codec, mangled(bytes, random))) refused++;
  }
  assert.ok(refused > 0);
});

test("a name that means something to JavaScript is only a name", () => {
  const bytes = Buffer.from("4a0e0a095f5f70726f746f5f5f120161", "hex"); // request_header {"__proto__": "a"}
  const { requestHeader } = Download.decode(bytes);
  assert.equal(Object.getPrototypeOf(requestHeader), Object.prototype);
  assert.equal(Object.hasOwn(Object.prototype, "a"), false);
});

/** Random bytes; HTTP/1; or the right greeting and then frames with random heads, some valid, some not. */
function* noise(random: Random): Generator<Buffer> {
  const bytes = (count: number): Buffer => Buffer.from(Array.from({ length: count }, () => random.below(256)));
  const kind = random.below(4);
  if (kind === 0) return yield bytes(1 + random.below(4096));
  if (kind === 1) return yield Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  yield Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  if (kind === 2) yield Buffer.from("000000040000000000", "hex"); // empty SETTINGS, as it should be
  for (let frame = 0; frame < 8; frame++) {
    const payload = bytes(random.below(64));
    const head = Buffer.alloc(9);
    head.writeUIntBE(random.below(8) === 0 ? random.below(0xff_ffff) : payload.length, 0, 3);
    head.writeUInt8(random.below(12), 3);
    head.writeUInt8(random.below(256), 4);
    head.writeUInt32BE(random.below(6), 5);
    yield Buffer.concat([head, payload]);
  }
}

function mangled(bytes: Uint8Array, random: Random): Buffer {
  const copy = Buffer.from(bytes.subarray(0, random.below(4) === 0 ? random.below(bytes.length) : bytes.length));
  for (let i = 0; i < 1 + random.below(3) && copy.length > 0; i++) copy[random.below(copy.length)] = random.below(256);
  return copy;
}

function reads(codec: { decode(bytes: Uint8Array): unknown }, bytes: Uint8Array): boolean {
  try {
    codec.decode(bytes);
    return true;
  } catch (error) {
    assert.ok(error instanceof Error);
    return false;
  }
}
