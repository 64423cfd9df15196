import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startAnax, type AnaxProcess } from "../../kit/anax.ts";
import { REGISTRY } from "../../kit/container-engines.ts";
import { writeImage, type Image } from "../../kit/image.ts";
import { freePort, listens, missingPrograms, must, start, type Background } from "../../kit/process.ts";
import { temporaryDirectory } from "../../kit/temporary-directory.ts";

export const REPOSITORY = "lab/app";
/** The same content behind a password. */
export const PRIVATE_REGISTRY = "private.test";
export const LOGIN = "lab:correct-horse";

const BUSYBOX = "/bin/busybox";
const MIB = 1024 * 1024;

export interface Lab extends AsyncDisposable {
  readonly dir: string;
  readonly image: Image;
  /** `127.0.0.1:port` of the registry itself. */
  readonly registryHost: string;
  readonly daemons: readonly LabDaemon[];
  /** What the registry's access log has of reading blobs: digest to number of GETs that it answered with content. */
  blobReads(): ReadonlyMap<string, number>;
  /** Likewise: digest to bytes of content that it sent, or was about to when the connection was closed. */
  blobBytes(): ReadonlyMap<string, number>;
  /** Bytes that a blob has. */
  sizeOf(digest: string): Promise<number>;
  /** Requests that the access log has for a method and a part of the path. */
  requests(method: string, part: string): number;
}

export interface LabDaemon {
  readonly process: AnaxProcess;
  /** `127.0.0.1:port` */
  readonly proxy: string;
  /** The mirror that stands for the registry alone. */
  readonly mirror: string;
  /** The mirror of the private one. */
  readonly privateMirror: string;
  readonly caCertPath: string;
}

export interface LabOptions {
  readonly daemons: number;
  /** Bytes of the image; `ANAX_TEST_IMAGE_MB` overrides it. */
  readonly imageBytes: number;
  readonly layers: number;
}

/** Why the lab cannot run here, or undefined. */
export function labMissing(programs: readonly string[]): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  const missing = missingPrograms(["docker-registry", "skopeo", "htpasswd", BUSYBOX, ...programs]);
  return missing.length === 0 ? undefined : `not installed: ${missing.join(", ")}`;
}

/** Debian's registry with one image, a scheduler, and daemons whose proxies are mirrors of it. */
export async function startLab(options: LabOptions): Promise<Lab> {
  await using scope = new AsyncDisposableStack();
  const { path: dir } = scope.use(await temporaryDirectory());
  await chmod(dir, 0o755); // container runtimes look at what is in it as other users
  const store = join(dir, "store");
  const registry = scope.use(await startRegistry(join(dir, "registry"), store));
  const closed = scope.use(await startRegistry(join(dir, "private-registry"), store, LOGIN));
  const megabytes = Number(process.env["ANAX_TEST_IMAGE_MB"] ?? options.imageBytes / MIB);
  const image = await writeImage({
    dir: join(dir, "image"),
    tag: "1",
    bytes: megabytes * MIB,
    layers: options.layers,
    seed: 7,
    busybox: BUSYBOX,
    script: "echo ran; cat /data/* | wc -c",
  });
  const target = `docker://${registry.host}/${REPOSITORY}:1`;
  await must("skopeo", ["copy", "-q", "--insecure-policy", "--dest-tls-verify=false", `oci:${join(dir, "image")}:1`, target]);
  const scheduler = scope.use(await startAnax("scheduler", { dataDir: join(dir, "scheduler") }));
  const daemons: LabDaemon[] = [];
  for (let i = 0; i < options.daemons; i++) {
    const name = `d${i + 1}`;
    const scheduled = addressOf(scheduler, "scheduler");
    daemons.push(
      await startDaemon(scope, { dir: join(dir, name), name, registry: registry.host, closed: closed.host, scheduler: scheduled }),
    );
  }
  const owned = scope.move();
  return {
    dir,
    image,
    registryHost: registry.host,
    daemons,
    blobReads: () => sumOfReads(registry.process.output(), () => 1),
    blobBytes: () => sumOfReads(registry.process.output(), ({ bytes }) => bytes),
    async sizeOf(digest) {
      const response = await fetch(`http://${registry.host}/v2/${REPOSITORY}/blobs/${digest}`, { method: "HEAD" });
      return Number(response.headers.get("content-length"));
    },
    requests: (method, part) =>
      linesOf(registry.process.output()).filter((line) => line.method === method && line.path.includes(part)).length,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function startRegistry(
  dir: string,
  store: string,
  login?: string,
): Promise<AsyncDisposable & { readonly host: string; readonly process: Background }> {
  await mkdir(dir, { recursive: true });
  const port = await freePort();
  const config = join(dir, "config.yml");
  const htpasswd = join(dir, "htpasswd");
  if (login !== undefined) await writeFile(htpasswd, await must("htpasswd", ["-Bbn", ...login.split(":")]));
  await writeFile(
    config,
    [
      "version: 0.1",
      "log: {level: warn, accesslog: {disabled: false}}",
      `storage: {filesystem: {rootdirectory: ${store}}, delete: {enabled: true}}`,
      `http: {addr: "127.0.0.1:${port}"}`,
      ...(login === undefined ? [] : [`auth: {htpasswd: {realm: lab, path: ${htpasswd}}}`]),
    ].join("\n"),
  );
  const options = { logFile: join(dir, "log"), ready: () => listens(port) };
  const background = await start("docker-registry", ["serve", config], options);
  return { host: `127.0.0.1:${port}`, process: background, [Symbol.asyncDispose]: () => background[Symbol.asyncDispose]() };
}

async function startDaemon(
  scope: AsyncDisposableStack,
  wanted: { readonly dir: string; readonly name: string; readonly registry: string; readonly closed: string; readonly scheduler: string },
): Promise<LabDaemon> {
  await mkdir(wanted.dir, { recursive: true });
  const [mirrorPort, privatePort] = [await freePort(), await freePort()];
  const url = `http://${wanted.registry}`;
  const config = join(wanted.dir, "anax.yaml");
  const settings = {
    p2p: {
      daemon: { hostname: wanted.name, advertiseIp: "127.0.0.1", schedulers: [wanted.scheduler] },
      proxy: {
        defaultRegistry: "docker.io",
        registries: { [REGISTRY]: { url }, "docker.io": { url }, [PRIVATE_REGISTRY]: { url: `http://${wanted.closed}` } },
        mirrors: [
          { port: mirrorPort, registry: REGISTRY },
          { port: privatePort, registry: PRIVATE_REGISTRY },
        ],
      },
    },
  };
  await writeFile(config, JSON.stringify(settings)); // JSON is YAML
  const anax = scope.use(await startAnax("daemon", { dataDir: join(wanted.dir, "data"), args: ["--config", config] }));
  return {
    process: anax,
    proxy: addressOf(anax, "proxy"),
    mirror: `127.0.0.1:${mirrorPort}`,
    privateMirror: `127.0.0.1:${privatePort}`,
    caCertPath: join(wanted.dir, "data/proxy-ca/ca.crt"),
  };
}

function addressOf(anax: AnaxProcess, listener: string): string {
  const address = anax.listeners[listener];
  if (address === undefined) throw new Error(`anax does not listen for ${listener}: ${JSON.stringify(anax.listeners)}`);
  return address.replace(/^http:\/\//, "");
}

interface LogLine {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly bytes: number;
}

/** The registry's access log has Apache's combined format. */
function linesOf(log: string): readonly LogLine[] {
  return [...log.matchAll(/"([A-Z]+) (\S+) HTTP\/[\d.]+" (\d{3}) (\d+)/g)].map(([, method = "", path = "", status, bytes]) => ({
    method,
    path,
    status: Number(status),
    bytes: Number(bytes),
  }));
}

function sumOfReads(log: string, amountOf: (line: LogLine) => number): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const line of linesOf(log)) {
    const digest = /\/blobs\/(sha256:[0-9a-f]{64})/.exec(line.path)?.[1];
    if (line.method === "GET" && digest !== undefined && line.status < 300) sums.set(digest, (sums.get(digest) ?? 0) + amountOf(line));
  }
  return sums;
}
