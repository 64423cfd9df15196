import { status } from "@grpc/grpc-js";
import { DESCRIBED_FILES, type DescribedFile } from "./gen/descriptors.ts";
import {
  ServerReflectionService,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from "./gen/grpc/reflection/v1/reflection.ts";
import type { BidiCall } from "./handlers.ts";
import { serviceOf, type GrpcService } from "./service.ts";

type Answer = NonNullable<ServerReflectionResponse["messageResponse"]>;

/**
 * Lets tools such as grpcurl ask what `services` look like, under the name that they ask for today and the one before it:
 * `grpc.reflection.v1` and `v1alpha` are the same messages.
 */
export function reflectionOf(services: readonly GrpcService[]): readonly GrpcService[] {
  const names = [...services.map((service) => service.name), REFLECTION].toSorted();
  const serverReflectionInfo = (call: BidiCall<ServerReflectionRequest, ServerReflectionResponse>) => reflect(call, names);
  const current = ServerReflectionService.serverReflectionInfo;
  const alpha = { ...current, path: current.path.replace("reflection.v1", "reflection.v1alpha") };
  return [
    serviceOf(ServerReflectionService, { serverReflectionInfo }),
    serviceOf({ serverReflectionInfo: alpha }, { serverReflectionInfo }),
  ];
}

const REFLECTION = "grpc.reflection.v1.ServerReflection";

async function reflect(call: BidiCall<ServerReflectionRequest, ServerReflectionResponse>, names: readonly string[]): Promise<void> {
  for await (const request of call.requests) {
    await call.send({ validHost: request.host, originalRequest: request, messageResponse: answerOf(request, names) });
  }
}

function answerOf({ messageRequest: asked }: ServerReflectionRequest, names: readonly string[]): Answer {
  switch (asked?.$case) {
    case "listServices":
      return { $case: "listServicesResponse", value: { service: names.map((name) => ({ name })) } };
    case "fileByFilename":
      return fileAnswer(asked.value, (file) => file.name === asked.value);
    case "fileContainingSymbol":
      return fileAnswer(asked.value, (file) => file.symbols.includes(asked.value));
    case "allExtensionNumbersOfType":
      // Our numbers from 1000 up are ordinary fields; proto2 extensions do not exist here.
      return { $case: "allExtensionNumbersResponse", value: { baseTypeName: asked.value, extensionNumber: [] } };
    case "fileContainingExtension":
      return refusal(status.NOT_FOUND, `no extension ${asked.value.extensionNumber} of ${asked.value.containingType}`);
    case undefined:
      return refusal(status.INVALID_ARGUMENT, "the request asks for nothing");
  }
}

function fileAnswer(asked: string, matches: (file: DescribedFile) => boolean): Answer {
  const found = DESCRIBED_FILES.find(matches);
  if (found === undefined) return refusal(status.NOT_FOUND, `nothing is known of ${asked}`);
  const fileDescriptorProto = withImports(found).map((file) => Buffer.from(file.descriptor, "base64"));
  return { $case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

/** The file first, then all that it needs to be understood, each once. */
function withImports(file: DescribedFile): readonly DescribedFile[] {
  const found = new Set([file]);
  // A set visits what is added to it during the loop.
  for (const { imports } of found) for (const other of DESCRIBED_FILES) if (imports.includes(other.name)) found.add(other);
  return [...found];
}

const refusal = (errorCode: number, errorMessage: string): Answer => ({ $case: "errorResponse", value: { errorCode, errorMessage } });
