import { resolve } from "node:path";
import { AnaxError } from "../../base/errors.ts";
import { Priority, TaskType, type Download, type ObjectStorage, type Range } from "../../wire/grpc/gen/common/v2/common.ts";
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
  readonly reconnectTimeout: number;
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

/** What becomes of the content: the daemon writes it to a path, sends it, or only keeps it. */
export type Delivery = { readonly to: string } | "send" | "keep";

/** The order for the daemon. Throws `input.invalid`. */
export function downloadOf(url: string, options: GetOptions, delivery: Delivery, range: Range | undefined): Download {
  return {
    url,
    digest: options.digest,
    range,
    type: TaskType.STANDARD,
    tag: options.tag,
    application: options.application,
    priority: priorityOf(options.priority),
    filteredQueryParams: options.filteredQueryParam,
    requestHeader: headersOf(options.header),
    pieceLength: options.pieceLength,
    outputPath: typeof delivery === "string" ? undefined : resolve(delivery.to),
    timeout: { seconds: Math.floor(options.timeout / 1000), nanos: Math.round(options.timeout % 1000) * 1_000_000 },
    disableBackToSource: options.disableBackToSource === true,
    needBackToSource: false,
    certificateChain: [],
    prefetch: false,
    objectStorage: objectStorageOf(options),
    isPrefetch: false,
    needPieceContent: delivery === "send",
    forceHardLink: options.forceHardLink === true,
    contentForCalculatingTaskId: options.contentForCalculatingTaskId,
    overwrite: options.overwrite === true,
    enableTaskIdBasedBlobDigest: false,
    metadataOnly: false,
    schedulingPolicy: 0,
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
