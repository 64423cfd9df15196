import { isoText } from "../../base/clock.ts";
import type { ByteRange } from "../model/types.ts";
import { formatRange } from "../../wire/http/range.ts";
import {
  ALGORITHM,
  canonicalHash,
  EMPTY_SHA256,
  escape,
  scopeText,
  signatureOf,
  textToSign,
  type SigningKeys,
} from "../../wire/http/signature-v4.ts";
import { statusError } from "./failures.ts";
import type { S3Parts } from "./s3-client.ts";
import type { Reply } from "./transport.ts";
import type { ObjectStorage, SourceRequest } from "./types.ts";

/** An object at a service whose address and keys are known. */
interface Wanted {
  readonly bucket: string;
  readonly key: string;
  readonly range: ByteRange | undefined;
  readonly storage: ObjectStorage;
  readonly request: SourceRequest;
  readonly keys: SigningKeys;
}

/**
 * GetObject with one signed request, for the many small objects of a tree: the library's way there and back costs a multiple of that. Undefined: this one
 * is the library's, which also knows what to make of a service that refuses (another region, another clock) and why. Throws as the transport does, and
 * `source.bad-status`.
 */
export async function getObject({ transport, clock, config }: S3Parts, wanted: Wanted): Promise<Reply | undefined> {
  const { bucket, key, range, storage, request, keys } = wanted;
  const { endpoint, accessKeyId, accessKeySecret } = storage;
  if (endpoint === undefined || accessKeyId === undefined || accessKeySecret === undefined || !URL.canParse(endpoint)) return undefined;
  const path = `/${[bucket, ...key.split("/")].map(escape).join("/")}`;
  const url = new URL(path, endpoint);
  // What `URL` folds (`..`) or an address with a path of its own would be signed as something else.
  if (url.pathname !== path || new URL(endpoint).pathname !== "/") return undefined;
  const headers = signed({
    url,
    region: storage.region ?? config.s3Region,
    identity: { accessKeyId, accessKeySecret, sessionToken: storage.sessionToken },
    keys,
    date: isoText(clock.wallMs()).replaceAll(/[-:]|\.\d+/g, ""),
  });
  const reply = await transport.exchange({
    url,
    method: "GET",
    headers: range === undefined ? headers : { ...headers, range: formatRange(range) },
    certificates: request.certificateChain,
    insecure: storage.insecureSkipVerify,
    signal: request.signal,
  });
  if (reply.status === 200 || reply.status === 206) return reply;
  await reply.discard();
  // The library would be told the same, of a service that is busy already.
  if (reply.status >= 500 || reply.status === 429 || reply.status === 408) throw statusError(request.url, reply);
  return undefined;
}

interface Signing {
  readonly url: URL;
  readonly region: string;
  readonly identity: { readonly accessKeyId: string; readonly accessKeySecret: string; readonly sessionToken: string | undefined };
  readonly keys: SigningKeys;
  /** As in `20260131T235959Z`. */
  readonly date: string;
}

/** A GET without a query. */
function signed({ url, region, identity, keys, date }: Signing): Readonly<Record<string, string>> {
  const { accessKeyId, accessKeySecret, sessionToken } = identity;
  const own = {
    "x-amz-content-sha256": EMPTY_SHA256,
    "x-amz-date": date,
    ...(sessionToken !== undefined && { "x-amz-security-token": sessionToken }),
  };
  const headers = Object.entries({ host: url.host, ...own }); // in order of their names
  const scope = { day: date.slice(0, 8), region, service: "s3" };
  const hash = canonicalHash({ method: "GET", path: url.pathname, query: "", headers, payload: EMPTY_SHA256 });
  const signature = signatureOf(keys.of(accessKeySecret, scope), textToSign(date, scope, hash));
  const names = headers.map(([name]) => name).join(";");
  const authorization = `${ALGORITHM} Credential=${accessKeyId}/${scopeText(scope)}, SignedHeaders=${names}, Signature=${signature}`;
  return { ...own, authorization };
}
