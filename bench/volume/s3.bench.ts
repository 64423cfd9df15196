// The S3 gateway beside nginx (WebDAV's PUT into a directory, one worker), in turns, on loopback: large and small objects. CPU seconds are those of the server's process.
// What only the gateway does: signatures, MD5 and SHA-256, and a flush to the disk before each PUT is answered. Ratios above 1: better than nginx.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Agent, request } from "undici";
import { realClock } from "../../src/base/clock.ts";
import { Volumes } from "../../src/volume/lifecycle/volumes.ts";
import { startAnaxS3 } from "../../test/kit/anax.ts";
import { freePort } from "../../test/kit/process.ts";
import { NEW_VOLUME, VOLUME } from "../../test/kit/s3-gateway.ts";
import { presigned } from "../../test/kit/sign-request.ts";
import { temporaryDirectory } from "../../test/kit/temporary-directory.ts";
import { runNginx, withOneWorker } from "../kit/nginx.ts";
import { cpuSecondsOf, median } from "../kit/process.ts";

const { values: flags } = parseArgs({ options: { rounds: { type: "string", default: "3" }, small: { type: "string", default: "300" } } });
const [rounds, small] = [Number(flags.rounds), Number(flags.small)];
const MIB = 1024 * 1024;
const AT_ONCE = 8;

interface Server {
  readonly name: string;
  readonly pid: number;
  readonly urlOf: (method: string, key: string) => Promise<string>;
}

interface Load {
  readonly name: string;
  readonly method: "PUT" | "GET";
  readonly bytes: number;
  readonly count: number;
}

const LOADS: readonly Load[] = [
  { name: "put 64 MiB", method: "PUT", bytes: 64 * MIB, count: 2 },
  { name: "get 64 MiB", method: "GET", bytes: 64 * MIB, count: 2 },
  { name: "put 4 KiB", method: "PUT", bytes: 4096, count: small },
  { name: "get 4 KiB", method: "GET", bytes: 4096, count: small },
];

await using scope = new AsyncDisposableStack();
const { path } = scope.use(await temporaryDirectory());
const agent = scope.adopt(new Agent({ connections: AT_ONCE }), (each) => each.close());
const dataDir = join(path, "data");
const { key } = await new Volumes(dataDir, realClock).create(NEW_VOLUME);
const anax = scope.use(await startAnaxS3({ dataDir }));
const servers: readonly Server[] = [
  {
    name: "anax",
    pid: anax.pid,
    urlOf: (method, name) => presigned(key, { method, url: `${anax.listeners["s3"]}/${VOLUME}/${name}` }, 3600),
  },
  await startDav(),
];

const results = new Map<string, { readonly perSecond: number; readonly cpuMs: number }[]>();
for (let round = 0; round < rounds; round++)
  for (const load of LOADS)
    for (const server of round % 2 === 0 ? servers : servers.toReversed()) {
      const id = `${load.name} ${server.name}`;
      results.set(id, [...(results.get(id) ?? []), await measured(server, load)]);
    }
const rows = LOADS.map(({ name }) => {
  const of = (server: string, what: "perSecond" | "cpuMs"): number =>
    median((results.get(`${name} ${server}`) ?? []).map((one) => one[what]));
  const [ours, theirs] = [of("anax", "perSecond"), of("nginx", "perSecond")];
  return {
    load: name,
    perSecond: ours,
    nginxPerSecond: theirs,
    ratio: ours / theirs,
    cpuMs: of("anax", "cpuMs"),
    nginxCpuMs: of("nginx", "cpuMs"),
  };
});
console.log(
  JSON.stringify({ rounds, small, atOnce: AT_ONCE, rows }, (_, value: unknown) =>
    typeof value === "number" ? Number(value.toPrecision(4)) : value,
  ),
);

async function measured(
  { pid, urlOf }: Server,
  { method, bytes, count }: Load,
): Promise<{ readonly perSecond: number; readonly cpuMs: number }> {
  const body = Buffer.alloc(bytes, "x");
  const urls = await Promise.all(Array.from({ length: count }, (_, index) => urlOf(method, `${bytes}-${index}`)));
  const [cpu, startMs] = [cpuSecondsOf(pid), performance.now()];
  const one = async (url: string): Promise<void> => {
    const answer = await request(url, { method, dispatcher: agent, ...(method === "PUT" && { body }) });
    let read = 0;
    for await (const piece of answer.body) read += (piece as Buffer).length;
    if (answer.statusCode >= 300 || (method === "GET" && read !== bytes)) throw new Error(`${method} ${url}: ${answer.statusCode}`);
  };
  const waiting = urls.values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const url of waiting) await one(url);
    }),
  );
  const seconds = (performance.now() - startMs) / 1000;
  return { perSecond: count / seconds, cpuMs: ((cpuSecondsOf(pid) - cpu) * 1000) / count };
}

async function startDav(): Promise<Server> {
  const [root, workDirectory, port] = [join(path, "dav"), join(path, "nginx"), await freePort()];
  for (const dir of [root, workDirectory]) mkdirSync(dir);
  const http = `client_max_body_size 0; server { listen 127.0.0.1:${port}; root ${root}; dav_methods PUT DELETE; create_full_put_path on; }`;
  const { pid } = scope.use(await runNginx({ workDirectory, port, config: withOneWorker(workDirectory, http) }));
  return { name: "nginx", pid, urlOf: async (_, name) => `http://127.0.0.1:${port}/${name}` };
}
