import type { Clock } from "../../base/clock.ts";
import { errorOf, type AnaxError } from "../../base/errors.ts";
import { openChannel, type ClientTls } from "../../wire/grpc/client.ts";
import { Download } from "../../wire/grpc/gen/common/v2/common.ts";
import { DfdaemonUploadService } from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import { isGrpcStatus } from "../../wire/grpc/status.ts";
import { msOf } from "../../wire/grpc/time.ts";
import type { Cluster } from "./cluster.ts";
import type { TriggerFailure } from "./events.ts";
import type { TriggerSeed } from "./runner.ts";
import type { SourceError } from "./state.ts";

/** What dfget assumes when nobody says, and the most that we hold a stream for. */
const TIMEOUT_DEFAULT_MS = 2 * 3_600_000;
const TIMEOUT_MAX_MS = 24 * 3_600_000;
const DETAILS_BYTES_MAX = 64 * 1024;

/** Orders go to `dfdaemon.v2.DfdaemonUpload/DownloadTask` of the seed; the answer is read to its end, as the order lasts that long. */
export function createSeedTrigger(options: {
  readonly clock: Clock;
  readonly tls?: ClientTls | undefined;
}): (cluster: Cluster) => TriggerSeed {
  return (cluster) =>
    async ({ hostId, order }, signal) => {
      const seed = cluster.hosts.get(hostId)?.facts;
      if (seed === undefined) return { reason: "the seed left", source: undefined };
      try {
        using channel = openChannel({ host: seed.ip, port: seed.port }, options);
        const timeoutMs = Math.min(TIMEOUT_MAX_MS, (order.timeout === undefined ? 0 : msOf(order.timeout)) || TIMEOUT_DEFAULT_MS);
        const responses = channel.serverStream(DfdaemonUploadService.downloadTask, { download: seedOrderOf(order) }, { signal, timeoutMs });
        for await (const _ of responses); // its progress comes by its own reports
        return undefined;
      } catch (thrown) {
        return failureOf(thrown);
      }
    };
}

/** `SchedulingPolicy.ALWAYS`: without it a Dragonfly seed keeps content of one piece to itself. */
const ALWAYS = 1;

/** In the name of the peer that asked, its credentials included; but nothing is to be written on the seed's machine but its cache. */
function seedOrderOf(order: Download): Download {
  return Download.fromPartial({
    ...order,
    needBackToSource: true,
    schedulingPolicy: ALWAYS,
    disableBackToSource: false,
    outputPath: undefined,
    forceHardLink: false,
    overwrite: false,
    needPieceContent: false,
    remoteIp: undefined,
  });
}

function failureOf(thrown: unknown): TriggerFailure {
  const error = errorOf(thrown);
  return { reason: error.message, source: ownSourceError(error) ?? foreignSourceError(error) };
}

/** Of one of our seeds: the code says it. */
function ownSourceError(error: AnaxError): SourceError | undefined {
  if (!error.code.startsWith("source.")) return undefined;
  const { status } = error.details;
  return { message: error.message, statusCode: STATUS_OF[error.code] ?? (typeof status === "number" ? status : undefined) };
}

const STATUS_OF: Readonly<Record<string, number>> = { "source.unauthorized": 401, "source.forbidden": 403, "source.not-found": 404 };

/** Of a Dragonfly seed: what its source answered travels as JSON in the status details, not as a message. */
function foreignSourceError(error: AnaxError): SourceError | undefined {
  const { cause } = error;
  if (!isGrpcStatus(cause)) return undefined;
  const [bytes] = cause.metadata.get("grpc-status-details-bin");
  if (!Buffer.isBuffer(bytes) || bytes.length > DETAILS_BYTES_MAX) return undefined;
  try {
    const parsed = JSON.parse(bytes.toString("utf8")) as { message?: unknown; status_code?: unknown };
    if (typeof parsed.status_code !== "number") return undefined;
    return { message: typeof parsed.message === "string" ? parsed.message : error.message, statusCode: parsed.status_code };
  } catch {
    return undefined; // some other detail
  }
}
