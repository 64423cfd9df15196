import { join } from "node:path";
import { realClock } from "../../base/clock.ts";
import { errorOf } from "../../base/errors.ts";
import { isDenied } from "../../node/in-use/known-uses.ts";
import type { UseSource } from "../../node/in-use/use-source.ts";
import { useSourcesOf } from "../../node/in-use/use-sources.ts";
import type { Finding, Place } from "./finding.ts";

/** Whether those answer to this user whom the daemon asks what containers and mounts use. Places where nothing is are not worth a line. */
export async function inUse({ config }: Place): Promise<readonly Finding[]> {
  const sources = useSourcesOf(config.p2p.inUse, { storeDir: join(config.dataDir, "pieces"), clock: realClock });
  const runtimes = sources.filter(({ unknown }) => unknown.length > 0); // of mounts there is nothing to tell
  return (await Promise.all(runtimes.map((source) => findingOf(source, config.p2p.inUse.timeoutMs)))).flat();
}

async function findingOf(source: UseSource, timeoutMs: number): Promise<readonly Finding[]> {
  using deadline = realClock.deadline(timeoutMs);
  try {
    const look = await source.look(deadline.signal);
    if (look.kind === "absent") return [];
    const found = `${source.name}: ${look.containers} ${look.containers === 1 ? "container" : "containers"}`;
    if (look.withoutLayers.length === 0) return [{ check: "in use", state: "ok", found }];
    const mend = "add the runtime's own socket or storage to p2p.inUse.containerd or p2p.inUse.containerStorage";
    return [{ check: "in use", state: "warn", found: `${found}, the layers of ${look.withoutLayers.length} not known`, mend }];
  } catch (thrown) {
    const mend = isDenied(thrown)
      ? "let the daemon's user read it, or take it out of p2p.inUse: what its containers use may be collected"
      : "start it, or take it out of p2p.inUse: until it has answered once, no image is collected for a while";
    return [{ check: "in use", state: "warn", found: `${source.name}: ${errorOf(thrown).message}`, mend }];
  }
}
