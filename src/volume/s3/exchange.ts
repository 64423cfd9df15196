import type { ServerResponse } from "node:http";
import type { Volumes } from "../lifecycle/volumes.ts";
import type { Access, Caller } from "./access.ts";
import { Body } from "./body.ts";
import type { Buckets } from "./buckets.ts";
import type { ChecksumName } from "./checksum.ts";
import type { Bucket } from "./bucket.ts";
import type { S3Config } from "./config.ts";
import type { S3Metrics } from "./metrics.ts";
import type { S3Request } from "./request.ts";
import { parseXml, type XmlElement } from "./xml.ts";

/** A request whose signature was verified, and its answer. */
export interface Exchange {
  readonly request: S3Request;
  readonly response: ServerResponse;
  readonly caller: Caller;
  readonly config: S3Config;
  readonly access: Access;
  readonly volumes: Volumes;
  readonly buckets: Buckets;
  readonly metrics: S3Metrics;
  /** Tells a client that waits for it to send the body. */
  readonly wantBody: () => void;
}

/** One within a bucket that the caller may use. */
export interface BucketExchange extends Exchange {
  readonly bucket: Bucket;
}

type Headers = Readonly<Record<string, string | number | undefined>>;

/** Throws as `Body` for what its headers say. */
export function bodyOf({ request, caller, wantBody }: Exchange, computed?: ChecksumName | "none"): Body {
  const body = new Body(request, caller, computed);
  wantBody();
  return body;
}

/** The document that a request brings. Throws `MalformedXML`, `MaxMessageLengthExceeded`, and as `Body`. */
export async function xmlOf(exchange: Exchange, root: string, computed?: "none"): Promise<XmlElement> {
  return parseXml(await bodyOf(exchange, computed).whole(exchange.config.xmlBytesMax), root);
}

/** Not for HEAD. */
export function sendXml({ response }: Pick<Exchange, "response">, xml: string, status = 200): void {
  const bytes = Buffer.from(xml);
  sendHead({ response }, status, { "content-type": "application/xml", "content-length": bytes.length });
  response.end(bytes);
}

export function sendEmpty({ response }: Pick<Exchange, "response">, status = 200, headers: Headers = {}): void {
  sendHead({ response }, status, status === 204 || status === 304 ? headers : { "content-length": 0, ...headers });
  response.end();
}

/** Headers without a value are left out. */
export function sendHead({ response }: Pick<Exchange, "response">, status: number, headers: Headers): void {
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) response.setHeader(name, value);
  response.writeHead(status);
}
