import assert from "node:assert/strict";
import { test } from "node:test";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { DaemonService } from "./gen/anax/v1/daemon.ts";
import { DfdaemonDownloadService } from "./gen/dfdaemon/v2/dfdaemon.ts";
import { ServerReflectionService, type ServerReflectionRequest } from "./gen/grpc/reflection/v1/reflection.ts";
import { SchedulerService } from "./gen/scheduler/v2/scheduler.ts";
import { serve, unbounded, type Served } from "./grpc-fixture.ts";
import type { BidiMethod } from "./method.ts";
import { reflectionOf } from "./reflection.ts";
import { unimplementedOf } from "./service.ts";

const ours = [SchedulerService, DfdaemonDownloadService, DaemonService].map(unimplementedOf);
const current = ServerReflectionService.serverReflectionInfo;
const alpha = { ...current, path: "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" } as const;

async function ask<Res>(
  served: Served,
  method: BidiMethod<ServerReflectionRequest, Res>,
  question: ServerReflectionRequest["messageRequest"],
): Promise<Res> {
  using stream = served.channel.bidi(method, { signal: unbounded() });
  await stream.send({ host: "", messageRequest: question });
  stream.close();
  const { value, done } = await stream.responses[Symbol.asyncIterator]().next();
  assert.equal(done, false);
  return value;
}

for (const method of [current, alpha]) {
  test(`${method.path} lists what is served`, async () => {
    await using served = await serve([...ours, ...reflectionOf(ours)]);
    const { messageResponse } = await ask(served, method, { $case: "listServices", value: "*" });
    assert.deepEqual(messageResponse, {
      $case: "listServicesResponse",
      value: {
        service: ["anax.v1.Daemon", "dfdaemon.v2.DfdaemonDownload", "grpc.reflection.v1.ServerReflection", "scheduler.v2.Scheduler"].map(
          (name) => ({ name }),
        ),
      },
    });
  });
}

test("a symbol or a file is answered with all that is needed to understand it", async () => {
  await using served = await serve(reflectionOf(ours));
  const questions = [
    { $case: "fileContainingSymbol", value: "scheduler.v2.Scheduler.AnnouncePeer" },
    { $case: "fileContainingSymbol", value: "scheduler.v2.AnnouncePeerRequest" },
    { $case: "fileByFilename", value: "scheduler/v2/scheduler.proto" },
  ] as const;
  for (const question of questions) {
    const { messageResponse } = await ask(served, current, question);
    assert.equal(messageResponse?.$case, "fileDescriptorResponse");
    const files = messageResponse.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
    assert.equal(files[0]?.name, "scheduler/v2/scheduler.proto");
    const registry = createFileRegistry(files[0], (name) => files.find((file) => file.name === name));
    assert.equal(registry.getService("scheduler.v2.Scheduler")?.method["announcePeer"]?.methodKind, "bidi_streaming");
  }
});

test("what is not known is said to be so, and the stream goes on", async () => {
  await using served = await serve(reflectionOf(ours));
  using stream = served.channel.bidi(current, { signal: unbounded() });
  const responses = stream.responses[Symbol.asyncIterator]();
  const questions = [
    [{ $case: "fileContainingSymbol", value: "no.Such" }, 5],
    [{ $case: "fileByFilename", value: "../../etc/passwd" }, 5],
    [{ $case: "fileContainingExtension", value: { containingType: "a.B", extensionNumber: 1 } }, 5],
    [undefined, 3],
  ] as const;
  for (const [messageRequest, errorCode] of questions) {
    await stream.send({ host: "", messageRequest });
    const { messageResponse } = (await responses.next()).value;
    assert.equal(messageResponse?.$case === "errorResponse" && messageResponse.value.errorCode, errorCode);
  }
  await stream.send({ host: "", messageRequest: { $case: "allExtensionNumbersOfType", value: "common.v2.Task" } });
  assert.equal((await responses.next()).value.messageResponse?.$case, "allExtensionNumbersResponse");
});
