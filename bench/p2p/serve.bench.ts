// One connection on loopback reads a file that is in memory: our piece server, and our proxy serving a cached blob, beside nginx with
// sendfile, in turns.
// Flags: --size 1GiB --span 4MiB --depth 2 --rounds 5. Prints a table for people on standard error and one line of JSON.
import { linkSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parseBytes } from "../../src/base/units.ts";
import { startAnax } from "../../test/kit/anax.ts";
import { freePort } from "../../test/kit/process.ts";
import { duel, type Contender } from "../kit/duel.ts";
import { startNginx } from "../kit/nginx.ts";
import { startScript } from "../kit/process.ts";
import { writeRandomFile } from "../kit/random-file.ts";

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
const sha256 = await writeRandomFile(file, fileBytes);

const web = await nginx();
const contenders = [
  web,
  await pieceServer("anax", true),
  await pieceServer("anax without sendfile", false),
  await proxy("anax proxy", web),
];
const inSpans = await duel(contenders, Number(flags.rounds));
// Container engines ask for a blob as a whole, in one request.
const whole = [wholeOf(web), wholeOf(contenders.at(-1)!)]; // the proxy, from the list above
const asWhole = await duel(whole, Number(flags.rounds));
const verdicts = { ...inSpans.verdicts, ...asWhole.verdicts };
for (const [name, verdict] of Object.entries(verdicts)) {
  console.error(
    `${name.padEnd(24)} ${verdict.gigabytesPerSecond.toFixed(2)} GB/s, ${verdict.cpuSecondsPerGiB.toFixed(3)} CPU s/GiB;` +
      ` against nginx: throughput ${verdict.ratioThroughput.toFixed(2)}, CPU ${verdict.ratioCpu.toFixed(2)}`,
  );
}
const { ratioThroughput, ratioCpu } = verdicts["anax"]!; // a contender of that name ran
const ratioThroughputProxy = verdicts["anax proxy, whole"]!.ratioThroughput; // likewise
const runs = [...inSpans.runs, ...asWhole.runs];
console.log(JSON.stringify({ bench: "p2p/serve", ...span, ratioThroughput, ratioCpu, ratioThroughputProxy, verdicts, runs }));

function wholeOf({ name, pid, target }: Contender): Contender {
  return { name: `${name}, whole`, pid, target: { ...target, spanBytes: fileBytes, depth: 1 } };
}

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

/** A daemon whose proxy has the file as a registry's blob: nginx plays the registry, from which it is fetched once, before the clock runs. */
async function proxy(name: string, registry: Contender): Promise<Contender> {
  const blob = `bench/blobs/sha256:${sha256}`;
  mkdirSync(join(directory, "v2/bench/blobs"), { recursive: true });
  linkSync(file, join(directory, "v2", blob));
  const daemon = scope.use(await startAnax("daemon", { dataDir: join(directory, "daemon"), set: { logLevel: "warn" } }));
  const { port } = new URL(daemon.listeners["proxy"]!); // a daemon has one
  const path = `/v2/127.0.0.1:${registry.target.port}/${blob}`;
  const warm = await fetch(`http://127.0.0.1:${port}${path}`);
  for await (const chunk of warm.body ?? []) void chunk;
  if (warm.status !== 200) throw new Error(`the proxy answered ${warm.status}`);
  return { name, pid: daemon.pid, target: { ...span, port: Number(port), speaks: { protocol: "http", path } } };
}
