import { createHash, createHmac } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";
import type { AccessKey } from "../../src/volume/lifecycle/volumes.ts";

/** SHA-256 and HMAC as the signer wants them. */
class Sha256 {
  readonly #hash;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash("sha256") : createHmac("sha256", secret as string | Uint8Array); // it gives no other
  }

  update(data: string | Uint8Array): void {
    this.#hash.update(data);
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }
}

interface Unsigned {
  readonly method: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** AWS' own signer, which knows nothing of ours. */
function signerOf({ id, secret }: AccessKey): SignatureV4 {
  return new SignatureV4({
    service: "s3",
    region: "us-east-1",
    credentials: { accessKeyId: id, secretAccessKey: secret },
    sha256: Sha256,
    uriEscapePath: false,
  });
}

function partsOf({ method, url, headers = {} }: Unsigned) {
  const { hostname, port, pathname, searchParams, protocol, host } = new URL(url);
  return {
    method,
    protocol,
    hostname,
    port: Number(port),
    path: pathname,
    query: Object.fromEntries(searchParams),
    headers: { host, ...headers },
  };
}

/** A URL that whoever has it may use for a time. */
export async function presigned(key: AccessKey, request: Unsigned, expiresSec: number): Promise<string> {
  const headers = { "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD", ...request.headers };
  const { query } = await signerOf(key).presign(partsOf({ ...request, headers }), { expiresIn: expiresSec });
  const url = new URL(request.url);
  for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, String(value));
  return url.href;
}

/** The headers of a signed request. */
export async function signedHeaders(key: AccessKey, request: Unsigned): Promise<Readonly<Record<string, string>>> {
  const { headers } = await signerOf(key).sign(partsOf(request));
  return headers;
}
