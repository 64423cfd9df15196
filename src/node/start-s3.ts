import { realClock } from "../base/clock.ts";
import { startGateway } from "../volume/s3/gateway.ts";
import { addressText } from "../wire/grpc/address.ts";
import { listening } from "./listening.ts";
import type { NodeParts, Role } from "./start.ts";

/** The volumes of the data directory, served over S3. Throws `config.*`, `listen.*`. */
export async function startS3Role({ config, log, registry, probes }: NodeParts): Promise<Role> {
  const gateway = await listening(
    "volume.s3.port",
    startGateway({ config: config.volume.s3, dataDir: config.dataDir, clock: realClock, log: log.child({ role: "s3" }), registry }),
  );
  const address = `${gateway.secure ? "https" : "http"}://${addressText(gateway)}`;
  probes.reached("s3", address);
  return {
    listeners: [{ name: "s3", address }],
    status: () => ({ s3: { requestsInFlight: gateway.inFlight } }),
    [Symbol.asyncDispose]: () => gateway[Symbol.asyncDispose](),
  };
}
