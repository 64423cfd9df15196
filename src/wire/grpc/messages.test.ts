import assert from "node:assert/strict";
import { test } from "node:test";
import {
  create,
  createFileRegistry,
  fromBinary,
  toBinary,
  toJson,
  type DescField,
  type DescMessage,
  type Message,
} from "@bufbuild/protobuf";
import { reflect, scalarZeroValue } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import * as anaxCommon from "./gen/anax/v1/common.ts";
import * as anaxDaemon from "./gen/anax/v1/daemon.ts";
import * as anaxScheduler from "./gen/anax/v1/scheduler.ts";
import * as common from "./gen/common/v2/common.ts";
import { DESCRIBED_FILES } from "./gen/descriptors.ts";
import * as dfdaemon from "./gen/dfdaemon/v2/dfdaemon.ts";
import * as errordetails from "./gen/errordetails/v2/errordetails.ts";
import * as health from "./gen/grpc/health/v1/health.ts";
import * as reflection from "./gen/grpc/reflection/v1/reflection.ts";
import * as scheduler from "./gen/scheduler/v2/scheduler.ts";

interface Codec {
  encode(message: object): { finish(): Uint8Array };
  decode(bytes: Uint8Array): object;
}

/** Bytes written out by hand from the field numbers of the public API, one field after the other: tag = number << 3 | wire type. */
const GOLDEN: readonly (readonly [title: string, codec: Codec, message: object, hex: string])[] = [
  ["a range", codecOf(common.Range), { start: 1, length: 300 }, "0801 10ac02"],
  [
    "a piece that came from a peer",
    codecOf(common.Piece),
    common.Piece.fromPartial({ number: 3, parentId: "p", offset: 12, length: 4, digest: "crc32:1", trafficType: 1, cost: { nanos: 5 } }),
    "0803 120170 180c 2004 2a0763726333323a31 3801 42021005",
  ],
  [
    "our bitmap of a peer, number 1000, behind the public fields",
    codecOf(common.Peer),
    common.Peer.fromPartial({ id: "a", finishedPieces: Uint8Array.of(0b101) }),
    "0a0161 c23e0105",
  ],
  [
    "our piece length of a task, number 1000",
    codecOf(common.Task),
    common.Task.fromPartial({ id: "t", pieceLength: 4 << 20 }),
    "0a0174 c03e80808002",
  ],
  [
    "an optional zero, which is sent",
    codecOf(common.Download),
    common.Download.fromPartial({ url: "u", pieceLength: 0, requestHeader: { a: "b" }, metadataOnly: true }),
    "0a0175 4a060a0161120162 5000 880201",
  ],
  [
    "a register request inside an announcement",
    codecOf(scheduler.AnnouncePeerRequest),
    scheduler.AnnouncePeerRequest.fromPartial({
      hostId: "h",
      taskId: "t",
      peerId: "p",
      request: { $case: "registerPeerRequest", value: { download: { url: "u" } } },
    }),
    "0a0168 120174 1a0170 22050a030a0175",
  ],
  [
    "an announcement of an event without fields",
    codecOf(scheduler.AnnouncePeerRequest),
    scheduler.AnnouncePeerRequest.fromPartial({ hostId: "h", request: { $case: "downloadPeerFinishedRequest", value: {} } }),
    "0a0168 4200",
  ],
  [
    "parents, and why there are no more",
    codecOf(scheduler.AnnouncePeerResponse),
    scheduler.AnnouncePeerResponse.fromPartial({
      response: {
        $case: "normalTaskResponse",
        value: { candidateParents: [{ id: "a" }], rejections: [{ rule: "busy", count: 2 }], contentLength: 7 },
      },
    }),
    "1213 0a030a0161 c23e080a04627573791002 c83e07",
  ],
  [
    "an order to go to the source",
    codecOf(scheduler.AnnouncePeerResponse),
    scheduler.AnnouncePeerResponse.fromPartial({ response: { $case: "needBackToSourceResponse", value: { description: "x" } } }),
    "1a030a0178",
  ],
  [
    "numbers in one run",
    codecOf(dfdaemon.SyncPiecesRequest),
    dfdaemon.SyncPiecesRequest.fromPartial({ taskId: "t", interestedPieceNumbers: [1, 2, 300] }),
    "120174 1a040102ac02",
  ],
  [
    "where a piece is",
    codecOf(dfdaemon.SyncPiecesResponse),
    dfdaemon.SyncPiecesResponse.fromPartial({ number: 1, offset: 2, length: 3, ip: "::1", tcpPort: 4001 }),
    "0801 1002 1803 22033a3a31 28a11f",
  ],
  [
    "a daemon's first words",
    codecOf(anaxScheduler.AttachRequest),
    anaxScheduler.AttachRequest.fromPartial({ request: { $case: "hello", value: { instanceId: "i", more: true } } }),
    "0a05 1801 220169",
  ],
  ["serving", codecOf(health.HealthCheckResponse), { status: health.HealthCheckResponse_ServingStatus.SERVING }, "0801"],
];

for (const [title, codec, message, hex] of GOLDEN) {
  test(`${title} has the bytes of the public API`, () => {
    const bytes = bytesOf(hex);
    assert.deepEqual(codec.encode(message).finish(), bytes);
    assert.deepEqual(codec.decode(bytes), message);
  });
}

const CODECS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "anax/v1/common.proto": anaxCommon,
  "anax/v1/daemon.proto": anaxDaemon,
  "anax/v1/scheduler.proto": anaxScheduler,
  "common/v2/common.proto": common,
  "dfdaemon/v2/dfdaemon.proto": dfdaemon,
  "errordetails/v2/errordetails.proto": errordetails,
  "grpc/health/v1/health.proto": health,
  "grpc/reflection/v1/reflection.proto": reflection,
  "scheduler/v2/scheduler.proto": scheduler,
};

const REGISTRY = createFileRegistry(
  create(FileDescriptorSetSchema, {
    file: DESCRIBED_FILES.map((file) => fromBinary(FileDescriptorProtoSchema, Buffer.from(file.descriptor, "base64"))),
  }),
);

/** A second implementation of protobuf writes and reads beside ours, with every field set. */
for (const [name, codecs] of Object.entries(CODECS)) {
  test(`every message of ${name} survives our codec as another one wrote it`, () => {
    const file = REGISTRY.getFile(name);
    assert.ok(file !== undefined && file.messages.length > 0);
    for (const descriptor of file.messages) {
      const bytes = toBinary(descriptor, filled(descriptor, 0));
      const codec = codecOf(codecs[descriptor.name]);
      const again = codec.encode(codec.decode(bytes)).finish();
      assert.deepEqual(
        toJson(descriptor, fromBinary(descriptor, again)),
        toJson(descriptor, fromBinary(descriptor, bytes)),
        descriptor.typeName,
      );
      assert.equal(again.length, bytes.length, descriptor.typeName);
    }
  });
}

test("fields from a newer peer are skipped", () => {
  const newer = bytesOf("0a0161 fa7d03666f6f 1005"); // 2015: "foo" between id and an unknown varint 2
  assert.equal(common.Task.decode(newer).id, "a");
});

test("a 64-bit number beyond what a number can hold is brought to the bound, and the rest of the message is read", () => {
  assert.equal(common.Range.decode(bytesOf("08 ffffffffffffffffff01")).start, Number.MAX_SAFE_INTEGER);
  // What Dragonfly's daemon 1.5.10 announces where memory is not limited: 2^63 less a page.
  const { memory, hostname } = common.Host.decode(bytesOf("1a0172 6a0f 3a0d 0880e0ffffffffffff7f 10c001"));
  assert.deepEqual([hostname, memory?.cgroup?.limit, memory?.cgroup?.usage], ["r", Number.MAX_SAFE_INTEGER, 192]);
});

const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));

function codecOf(value: unknown): Codec {
  assert.ok(typeof value === "object" && value !== null && "encode" in value && "decode" in value);
  return value as Codec; // generated codecs take messages of their own type, which the tables here pair by name
}

/** A message with every field set to something else than its default; the last member of each oneof wins. */
function filled(descriptor: DescMessage, depth: number): Message {
  const message = reflect(descriptor);
  for (const field of descriptor.fields) fill(message, field, depth);
  return message.message;
}

function fill(message: ReturnType<typeof reflect>, field: DescField, depth: number): void {
  if (field.fieldKind === "scalar") message.set(field, sample(field.scalar));
  else if (field.fieldKind === "enum") message.set(field, field.enum.values.at(-1)?.number);
  else if (field.fieldKind === "list") fillList(message, field, depth);
  else if (field.fieldKind === "map") {
    const value = field.mapKind === "message" ? reflect(field.message, filled(field.message, depth + 1)) : "value";
    message.get(field).set("key", value);
  } else if (depth < 3) message.set(field, reflect(field.message, filled(field.message, depth + 1)));
}

function fillList(message: ReturnType<typeof reflect>, field: DescField & { fieldKind: "list" }, depth: number): void {
  if (field.listKind === "scalar") [1, 2].forEach(() => message.get(field).add(sample(field.scalar)));
  else if (field.listKind === "message" && depth < 3) message.get(field).add(reflect(field.message, filled(field.message, depth + 1)));
}

function sample(scalar: Parameters<typeof scalarZeroValue>[0]): unknown {
  const zero: unknown = scalarZeroValue(scalar, false);
  if (typeof zero === "bigint") return 2n ** 33n + 7n;
  if (typeof zero === "number") return 77;
  if (typeof zero === "boolean") return true;
  return zero instanceof Uint8Array ? Uint8Array.of(0, 255, 7) : "tëxt";
}
