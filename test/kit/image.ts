import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { fillGenerated } from "./generated-content.ts";

export interface ImageOptions {
  /** Directory for the OCI layout; made if it does not exist. */
  readonly dir: string;
  readonly tag: string;
  /** Bytes of data besides the runnable base. */
  readonly bytes: number;
  /** Layers, the base included. */
  readonly layers: number;
  /** Two images of one seed are the same. */
  readonly seed: number;
  /** A program that needs no libraries; installed as the shell. */
  readonly busybox: string;
  /** What the image runs. */
  readonly script: string;
}

export interface Image {
  readonly manifestDigest: string;
  readonly configDigest: string;
  readonly layerDigests: readonly string[];
  /** Of all blobs, the manifest included. */
  readonly bytes: number;
}

interface Blob {
  readonly digest: string;
  readonly size: number;
}

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
const COMMANDS = ["sh", "cat", "echo", "ls", "sha256sum", "sleep", "wc"];

/** Writes an OCI image layout (image specification 1.1): a busybox base and layers of data. The same options give the same digests. */
export async function writeImage(options: ImageOptions): Promise<Image> {
  await mkdir(join(options.dir, "blobs/sha256"), { recursive: true });
  const busybox = await readFile(options.busybox);
  const layers = [await writeLayer(options.dir, baseOf(busybox))];
  const count = options.layers - 1;
  for (let i = 0; i < count; i++) {
    const bytes = Math.floor(options.bytes / count) + (i === 0 ? options.bytes % count : 0);
    layers.push(await writeLayer(options.dir, dataOf(`data/${i}`, bytes, options.seed * 1000 + i)));
  }
  const config = await writeJson(options.dir, {
    architecture: "amd64",
    os: "linux",
    config: { Env: ["PATH=/bin"], Cmd: ["sh", "-c", options.script] },
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
  });
  const manifest = await writeJson(options.dir, {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: { mediaType: CONFIG, ...config },
    layers: layers.map(({ digest, size }) => ({ mediaType: LAYER, digest, size })),
  });
  const annotations = { "org.opencontainers.image.ref.name": options.tag };
  await writeFile(join(options.dir, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  await writeFile(
    join(options.dir, "index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: MANIFEST, ...manifest, annotations }] }),
  );
  return {
    manifestDigest: manifest.digest,
    configDigest: config.digest,
    layerDigests: layers.map(({ digest }) => digest),
    bytes: [manifest, config, ...layers].reduce((sum, { size }) => sum + size, 0),
  };
}

/** Gzip without compression: random data would not shrink, and storing is quick. */
async function writeLayer(dir: string, tar: Iterable<Buffer>): Promise<Blob & { readonly diffId: string }> {
  const [raw, packed] = [createHash("sha256"), createHash("sha256")];
  const temporary = join(dir, "layer.tmp");
  let size = 0;
  const countPacked = (chunk: Buffer): void => {
    packed.update(chunk);
    size += chunk.length;
  };
  await pipeline(
    Readable.from(tar),
    tap((chunk) => raw.update(chunk)),
    createGzip({ level: 0 }),
    tap(countPacked),
    createWriteStream(temporary),
  );
  const hex = packed.digest("hex");
  await rename(temporary, join(dir, "blobs/sha256", hex));
  return { digest: `sha256:${hex}`, size, diffId: `sha256:${raw.digest("hex")}` };
}

function tap(see: (chunk: Buffer) => void): Transform {
  return new Transform({
    transform(chunk: Buffer, _, done) {
      see(chunk);
      done(null, chunk);
    },
  });
}

async function writeJson(dir: string, value: unknown): Promise<Blob> {
  const body = Buffer.from(JSON.stringify(value));
  const hex = createHash("sha256").update(body).digest("hex");
  await writeFile(join(dir, "blobs/sha256", hex), body);
  return { digest: `sha256:${hex}`, size: body.length };
}

function* baseOf(busybox: Buffer): Generator<Buffer> {
  for (const directory of ["bin", "data", "dev", "etc", "proc", "sys", "tmp"]) yield header({ path: `${directory}/`, type: "5" });
  yield* file("bin/busybox", busybox.length, [busybox]);
  for (const name of COMMANDS) yield header({ path: `bin/${name}`, type: "2", link: "busybox" });
  const passwd = Buffer.from("root:x:0:0:root:/:/bin/sh\n");
  yield* file("etc/passwd", passwd.length, [passwd]);
  yield Buffer.alloc(2 * BLOCK);
}

function* dataOf(path: string, bytes: number, seed: number): Generator<Buffer> {
  yield* file(path, bytes, generated(bytes, seed));
  yield Buffer.alloc(2 * BLOCK);
}

const CHUNK_BYTES = 1024 * 1024;

function* generated(bytes: number, seed: number): Generator<Buffer> {
  for (let at = 0; at < bytes; at += CHUNK_BYTES) {
    const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, bytes - at)); // a fresh one each: streams keep what they are given
    fillGenerated(seed, at, chunk);
    yield chunk;
  }
}

// --- tar (POSIX ustar)

const BLOCK = 512;

function* file(path: string, bytes: number, content: Iterable<Buffer>): Generator<Buffer> {
  yield header({ path, type: "0", bytes });
  yield* content;
  yield Buffer.alloc((BLOCK - (bytes % BLOCK)) % BLOCK);
}

function header(entry: { readonly path: string; readonly type: "0" | "2" | "5"; readonly bytes?: number; readonly link?: string }): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(entry.path, 0);
  block.write(octal(0o755, 8), 100);
  block.write(octal(0, 8), 108);
  block.write(octal(0, 8), 116);
  block.write(octal(entry.bytes ?? 0, 12), 124);
  block.write(octal(0, 12), 136);
  block.write(" ".repeat(8), 148); // the checksum is computed with blanks in its place
  block.write(entry.type, 156);
  block.write(entry.link ?? "", 157);
  block.write("ustar\x0000", 257);
  block.write(
    octal(
      block.reduce((sum, byte) => sum + byte, 0),
      7,
    ),
    148,
  );
  return block;
}

const octal = (value: number, width: number): string => `${value.toString(8).padStart(width - 1, "0")}\0`;

/** The sha256 of a file, as `sha256:…`. */
export async function digestOfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return `sha256:${hash.digest("hex")}`;
}
