// One connection on loopback reads a file that is in memory: our piece server beside nginx with sendfile, in turns.
// Flags: --size 1GiB --span 4MiB --depth 2 --rounds 5. Prints a table for people on standard error and one line of JSON.
import { mkdtempSync, rmSync, writeFileSync, appendFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parseBytes } from "../../src/base/units.ts";
import { duel, type Contender } from "../kit/duel.ts";
import { startNginx } from "../kit/nginx.ts";
import { startScript } from "../kit/process.ts";

const { values: flags } = parseArgs({
  options: {
    size: { type: "string", default: "1GiB" },
    span: { type: "string", default: "4MiB" },
    depth: { type: "string", default: "2" },
    rounds: { type: "string", default: "5" },
  },
});
const fileBytes = parseBytes(flags.size) ?? 0;
const spanBytes = parseBytes(flags.span) ?? 0;
if (fileBytes === 0 || spanBytes === 0) throw new Error("--size and --span are sizes such as 4MiB");
const span = { fileBytes, spanBytes, depth: Number(flags.depth) };

await using scope = new AsyncDisposableStack();
const directory = mkdtempSync(join(tmpdir(), "anax-bench-"));
scope.defer(() => rmSync(directory, { recursive: true }));
const file = join(directory, "content");
writeRandomFile(file, fileBytes);

// A further HTTP server is one more entry here: its name, the process that serves, its port and path.
const contenders = [await nginx(), await pieceServer("anax", true), await pieceServer("anax without sendfile", false)];
const { runs, verdicts } = await duel(contenders, Number(flags.rounds));
for (const [name, verdict] of Object.entries(verdicts)) {
  console.error(
    `${name.padEnd(24)} ${verdict.gigabytesPerSecond.toFixed(2)} GB/s, ${verdict.cpuSecondsPerGiB.toFixed(3)} CPU s/GiB;` +
      ` against nginx: throughput ${verdict.ratioThroughput.toFixed(2)}, CPU ${verdict.ratioCpu.toFixed(2)}`,
  );
}
const { ratioThroughput, ratioCpu } = verdicts["anax"]!; // a contender of that name ran
console.log(JSON.stringify({ bench: "p2p/serve", ...span, ratioThroughput, ratioCpu, verdicts, runs }));

async function nginx(): Promise<Contender> {
  const port = await freePort();
  const { pid } = scope.use(await startNginx({ root: directory, workDirectory: directory, port }));
  return { name: "nginx", pid, target: { ...span, port, speaks: { protocol: "http", path: "/content" } } };
}

async function pieceServer(name: string, sendfile: boolean): Promise<Contender> {
  const script = new URL("piece-server.ts", import.meta.url).pathname;
  const child = scope.use(await startScript(script, [join(directory, name), file, String(spanBytes), String(sendfile)]));
  const { port, taskId } = child.ready as { readonly port: number; readonly taskId: string };
  return { name, pid: child.pid, target: { ...span, port, speaks: { protocol: "vortex", taskId } } };
}

/** nginx cannot tell which port it got, so it has to be told one. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function writeRandomFile(path: string, bytes: number): void {
  const block = randomBytes(4 * 1024 * 1024);
  writeFileSync(path, "");
  for (let left = bytes; left > 0; left -= block.length) appendFileSync(path, block.subarray(0, Math.min(left, block.length)));
}
