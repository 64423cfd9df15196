import { S3Client } from "@aws-sdk/client-s3";
import { realClock, type Clock } from "../../src/base/clock.ts";
import { createLog } from "../../src/base/log.ts";
import { createRegistry } from "../../src/base/metrics.ts";
import { Volumes, type AccessKey } from "../../src/volume/lifecycle/volumes.ts";
import { S3Config } from "../../src/volume/s3/config.ts";
import { startGateway, type Gateway } from "../../src/volume/s3/gateway.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** A gateway in this process with one volume, and the SDK of AWS as its client. */
export interface GatewayPlace extends AsyncDisposable {
  readonly volumes: Volumes;
  readonly gateway: Gateway;
  readonly endpoint: string;
  readonly key: AccessKey;
  readonly s3: S3Client;
  /** Lines that it has logged. */
  log(): string;
  /** A client with other credentials. */
  clientOf(key: AccessKey): S3Client;
}

export const VOLUME = "photos";

export const NEW_VOLUME = {
  name: VOLUME,
  owner: "test",
  capacityBytes: 0,
  inodesMax: 0,
  readOnly: false,
  onDelete: "detach-now",
  undeleteMs: 3_600_000,
  uid: 0,
  gid: 0,
  permissions: 0o755,
} as const;

export async function aGateway(settings: Readonly<Record<string, unknown>> = {}, clock: Clock = realClock): Promise<GatewayPlace> {
  await using scope = new AsyncDisposableStack();
  const { path } = scope.use(await temporaryDirectory());
  const volumes = new Volumes(path, realClock);
  const { key } = await volumes.create(NEW_VOLUME);
  let lines = "";
  const log = createLog("debug", { write: (line) => void (lines += line) });
  const config = S3Config.parse({ port: 0, ...settings });
  const gateway = scope.use(await startGateway({ config, dataDir: path, clock, log, registry: createRegistry({ runtime: false }) }));
  const endpoint = `${gateway.secure ? "https" : "http"}://127.0.0.1:${gateway.port}`;
  const clients = scope.use(new DisposableStack());
  const clientOf = (credentials: AccessKey): S3Client => {
    const client = new S3Client({
      endpoint,
      region: "us-east-1",
      forcePathStyle: true,
      maxAttempts: 1,
      credentials: { accessKeyId: credentials.id, secretAccessKey: credentials.secret },
    });
    clients.defer(() => client.destroy());
    return client;
  };
  const s3 = clientOf(key);
  const owned = scope.move();
  return {
    volumes,
    gateway,
    endpoint,
    key,
    s3,
    log: () => lines,
    clientOf,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
