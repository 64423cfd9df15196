import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { withDaemon } from "../../src/cli/connect.ts";
import { download } from "../../src/cli/get/file.ts";
import type { GetOptions } from "../../src/cli/get/request.ts";
import { formatBytes } from "../../src/base/units.ts";
import type { AnaxProcess } from "../kit/anax.ts";
import { socketOf } from "../kit/cli.ts";
import { sha256OfGenerated } from "../kit/generated-content.ts";
import { sha256OfFile } from "../kit/terminal.ts";
import type { Incident } from "./incident.ts";
import { aMemoryGroup } from "./memory-group.ts";
import { aDaemon, aScene, demand, MIB, urlOf } from "./scene.ts";

const GETS = 200;
const GROUP_BYTES = 320 * MIB;
/** What the daemon keeps to by itself: its share of what the cgroup has. */
const CEILING_BYTES = GROUP_BYTES * 0.8;
const FILE_BYTES = 3 * MIB;
const CONTENT = Object.fromEntries(Array.from({ length: GETS }, (_, i) => [`/${i}`, { bytes: FILE_BYTES, seed: 200 + i }]));
const ORDINARY: GetOptions = {
  output: "",
  header: [],
  filteredQueryParam: [],
  timeout: 600_000,
  reconnectTimeout: 0,
  priority: 6,
  includeFiles: [],
  maxFiles: 1,
  maxConcurrentRequests: 1,
  progress: false,
};

/** Becomes the program that follows, in the cgroup. */
const JOIN_CGROUP = 'echo $$ > "$0/cgroup.procs" && exec "$@"';

export const MEMORY: readonly Incident[] = [
  {
    name: "memory-ceiling",
    fault: `${GETS} gets at once, half of them through the socket, through a daemon in a memory cgroup of ${formatBytes(GROUP_BYTES)}`,
    async run(scope) {
      const scene = await aScene(scope, CONTENT);
      for (const path of Object.keys(CONTENT)) scene.origin.setFault(path, { bytesPerSecond: 2 * MIB });
      const cgroup = await aMemoryGroup(scope);
      await writeFile(join(cgroup, "memory.limit_in_bytes"), String(GROUP_BYTES));
      const daemon = await aDaemon(scope, scene, "a", { via: ["sh", "-c", JOIN_CGROUP, cgroup] });
      const out = join(scene.dir, "out");
      await mkdir(out);
      const startedMs = performance.now();
      let mostWaiting = 0;
      const looking = setInterval(() => void waiting(daemon).then((count) => (mostWaiting = Math.max(mostWaiting, count))), 200);
      scope.defer(() => clearInterval(looking));
      await withDaemon({ endpoint: socketOf(daemon), set: {} }, async (local) => {
        const get = (path: string, i: number) =>
          download(local, {
            url: urlOf(scene, path),
            options: { ...ORDINARY, output: join(out, path), transferFromDaemon: i % 2 === 0 },
            signal: new AbortController().signal,
            onProgress: () => undefined,
          });
        await Promise.all(Object.keys(CONTENT).map(get));
      });
      clearInterval(looking);
      const seconds = (performance.now() - startedMs) / 1000;
      for (const [path, content] of Object.entries(CONTENT))
        demand((await sha256OfFile(join(out, path))) === sha256OfGenerated(content), `${path} has wrong bytes`);
      const peak = await peakBytesOf(daemon);
      demand(peak <= CEILING_BYTES, `it took ${formatBytes(peak)} of ${formatBytes(CEILING_BYTES)}`);
      demand(mostWaiting > 0, "nobody had to wait");
      return {
        recoverSeconds: seconds,
        originBytes: scene.origin.totals().bytesSent,
        note: `${formatBytes(peak)} resident at most, ceiling ${formatBytes(CEILING_BYTES)}; up to ${mostWaiting} waited`,
      };
    },
  },
];

/** The most that was resident since its start. */
async function peakBytesOf({ pid }: AnaxProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

async function waiting({ listeners }: AnaxProcess): Promise<number> {
  const text = await fetch(`${listeners["status"]}/metrics`).then((response) => response.text());
  return Number(/^anax_memory_waiting (\d+)/m.exec(text)?.[1] ?? 0);
}
