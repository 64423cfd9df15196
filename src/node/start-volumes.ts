import { realClock } from "../base/clock.ts";
import { startVolumeServer } from "../volume/service/server.ts";
import { addressText } from "../wire/grpc/address.ts";
import { socketPathOf } from "./config.ts";
import { listening } from "./listening.ts";
import type { NodeParts, Role } from "./start.ts";

/** The volumes of the data directory, for commands of other machines. Throws `config.*`, `listen.*`. */
export async function startVolumeRole({ config, log, registry, probes }: NodeParts): Promise<Role> {
  const server = await listening(
    "volume.service.port",
    startVolumeServer({
      config: config.volume.service,
      dataDir: config.dataDir,
      daemonSocket: socketPathOf(config),
      clock: realClock,
      log: log.child({ role: "volumes" }),
      registry,
    }),
  );
  const address = `${server.secure ? "https" : "http"}://${addressText(server)}`;
  probes.reached("volumes", address);
  return {
    listeners: [{ name: "volumes", address }],
    status: () => ({ volumes: { callsInFlight: server.callsInFlight } }),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
