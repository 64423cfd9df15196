import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { errorText, listing, signatureProblem, type S3Credentials } from "./s3-origin.ts";

/** What happens to a request instead of what it asks for: a status, a connection that is cut, silence, or half of the body. */
export type BucketFault = number | "reset" | "hang" | "truncate";

export interface BucketRequest {
  readonly method: string;
  /** Empty for a listing. */
  readonly key: string;
}

/** A bucket that can be written, over HTTP. */
export interface S3Bucket extends AsyncDisposable {
  readonly endpoint: string;
  readonly objects: Map<string, Buffer>;
  /** All that came so far, those with faults included. */
  readonly requests: readonly BucketRequest[];
  /** Content of objects that was given, in bytes. */
  readonly givenBytes: number;
  /** Requests under way at once, at most. */
  readonly busiest: number;
  fault: ((request: BucketRequest) => BucketFault | undefined) | undefined;
}

export const BUCKET = "bucket";
export const BUCKET_KEYS: S3Credentials = { accessKeyId: "AK", accessKeySecret: "SK" };
/** For processes and clients that take credentials from the environment. */
export const BUCKET_ENV = { AWS_ACCESS_KEY_ID: BUCKET_KEYS.accessKeyId, AWS_SECRET_ACCESS_KEY: BUCKET_KEYS.accessKeySecret };

/**
 * One bucket as S3 serves it, path-style: GetObject, HeadObject, PutObject with its checksum, CopyObject, DeleteObject, ListObjectsV2 with pages; Signature Version 4
 * verified in full. Beside a real server it can fail in the ways that real ones do.
 */
export async function startS3Bucket({ pageEntriesMax = 1000 }: { readonly pageEntriesMax?: number } = {}): Promise<S3Bucket> {
  const objects = new Map<string, Buffer>();
  const requests: BucketRequest[] = [];
  let [now, busiest, givenBytes] = [0, 0, 0];
  const bucket = { fault: undefined as S3Bucket["fault"] };
  const server = createServer((request, response) => {
    busiest = Math.max(busiest, ++now);
    response.once("close", () => now--);
    void answer(request, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer); // no encoding is set
    const body = Buffer.concat(chunks);
    const url = new URL(request.url ?? "/", "http://s3");
    const [, name, ...rest] = url.pathname.split("/").map(decodeURIComponent);
    const asked: BucketRequest = { method: request.method ?? "GET", key: rest.join("/") };
    requests.push(asked);
    const reply = (status: number, content: Buffer | string = "", headers: Record<string, string> = {}): void => {
      const length = Buffer.byteLength(content);
      response.writeHead(status, { ...headers, ...(status !== 204 && { "content-length": headers["content-length"] ?? length }) });
      response.end(asked.method === "HEAD" || status === 204 ? undefined : content);
    };
    const refuse = (status: number, code: string): void =>
      reply(status, errorText(code, url.pathname), { "content-type": "application/xml" });
    const fault = bucket.fault?.(asked);
    if (fault === "reset") return void request.socket.resetAndDestroy();
    if (fault === "hang") return;
    if (typeof fault === "number") return refuse(fault, fault === 403 ? "AccessDenied" : "SlowDown");
    const problem = signatureProblem(BUCKET_KEYS, request);
    if (problem !== undefined) return refuse(403, problem);
    if (name !== BUCKET) return refuse(404, "NoSuchBucket");
    if (asked.key === "") return reply(200, listing(BUCKET, Object.fromEntries(objects), { query: url.searchParams, pageEntriesMax }));
    const found = objects.get(asked.key);
    switch (asked.method) {
      case "PUT": {
        const copied = request.headers["x-amz-copy-source"];
        const content = copied === undefined ? body : objects.get(decodeURIComponent(String(copied)).replace(/^\/?bucket\//, ""));
        if (content === undefined) return refuse(404, "NoSuchKey");
        const wanted = request.headers["x-amz-checksum-sha256"];
        if (wanted !== undefined && wanted !== createHash("sha256").update(content).digest("base64")) return refuse(400, "BadDigest");
        objects.set(asked.key, content);
        const result = `<CopyObjectResult><ETag>"e"</ETag></CopyObjectResult>`;
        return copied === undefined ? reply(200) : reply(200, result, { "content-type": "application/xml" });
      }
      case "DELETE":
        objects.delete(asked.key);
        return reply(204);
      case "HEAD":
      case "GET":
        if (found === undefined) return refuse(404, "NoSuchKey");
        if (fault === "truncate") {
          response.writeHead(200, { "content-length": found.length });
          response.write(found.subarray(0, found.length >> 1), () => request.socket.destroy());
          return;
        }
        if (asked.method === "GET") givenBytes += found.length;
        return reply(200, found, { "content-length": String(found.length) });
      default:
        return refuse(405, "MethodNotAllowed");
    }
  }

  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, // listening on TCP
    objects,
    requests,
    get givenBytes() {
      return givenBytes;
    },
    get busiest() {
      return busiest;
    },
    get fault() {
      return bucket.fault;
    },
    set fault(fault) {
      bucket.fault = fault;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
