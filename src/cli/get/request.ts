import { resolve } from "node:path";
import { AnaxError } from "../../base/errors.ts";
import { parseByteRange } from "./range.ts";
import { Priority, TaskType, type Download, type ObjectStorage } from "../../wire/grpc/gen/common/v2/common.ts";
import { headersOf } from "../options.ts";

export interface GetOptions {
  readonly output: string;
  readonly overwrite?: boolean;
  readonly forceHardLink?: boolean;
  readonly transferFromDaemon?: boolean;
  readonly transferFromDfdaemon?: boolean;
  readonly digest?: string;
  readonly range?: string;
  readonly header: readonly string[];
  readonly tag?: string;
  readonly application?: string;
  readonly filteredQueryParam: readonly string[];
  readonly pieceLength?: number;
  readonly contentForCalculatingTaskId?: string;
  readonly timeout: number;
  readonly priority: number;
  readonly disableBackToSource?: boolean;
  readonly recursive?: boolean;
  readonly includeFiles: readonly string[];
  readonly maxFiles: number;
  readonly maxConcurrentRequests: number;
  readonly storageRegion?: string;
  readonly storageEndpoint?: string;
  readonly storageAccessKeyId?: string;
  readonly storageAccessKeySecret?: string;
  readonly storageSessionToken?: string;
  readonly progress: boolean;
  readonly json?: boolean;
}

/** The order for the daemon. With `transfer` it sends the content instead of writing it. Throws `input.invalid`. */
export function downloadOf(url: string, options: GetOptions, output: string, transfer: boolean): Download {
  return {
    url,
    digest: options.digest,
    range: options.range === undefined ? undefined : parseByteRange(options.range),
    type: TaskType.STANDARD,
    tag: options.tag,
    application: options.application,
    priority: priorityOf(options.priority),
    filteredQueryParams: options.filteredQueryParam,
    requestHeader: headersOf(options.header),
    pieceLength: options.pieceLength,
    outputPath: transfer ? undefined : resolve(output),
    timeout: { seconds: Math.floor(options.timeout / 1000), nanos: Math.round(options.timeout % 1000) * 1_000_000 },
    disableBackToSource: options.disableBackToSource === true,
    needBackToSource: false,
    certificateChain: [],
    prefetch: false,
    objectStorage: objectStorageOf(options),
    isPrefetch: false,
    needPieceContent: transfer,
    forceHardLink: options.forceHardLink === true,
    contentForCalculatingTaskId: options.contentForCalculatingTaskId,
    overwrite: options.overwrite === true,
    enableTaskIdBasedBlobDigest: false,
    metadataOnly: false,
  };
}

export function objectStorageOf(options: GetOptions): ObjectStorage | undefined {
  const storage = {
    region: options.storageRegion,
    endpoint: options.storageEndpoint,
    accessKeyId: options.storageAccessKeyId,
    accessKeySecret: options.storageAccessKeySecret,
    sessionToken: options.storageSessionToken,
  };
  return Object.values(storage).some((value) => value !== undefined) ? storage : undefined;
}

function priorityOf(level: number): Priority {
  const known = Object.values(Priority).find((value) => value === level);
  if (known === undefined) throw new AnaxError("input.invalid", { priority: level, expected: "0 to 6" });
  return known;
}
