import { isoText } from "../../base/clock.ts";
import type { Attributes } from "../meta/verbs.ts";
import { escapeBytes } from "../../wire/http/signature-v4.ts";
import type { Bucket } from "./bucket.ts";
import { sendXml, type BucketExchange } from "./exchange.ts";
import { etagOf, readMeta } from "./object-meta.ts";
import { textOfBytes, type Query } from "./request.ts";
import { S3Error } from "./s3-error.ts";
import { objectTree, walkKeys, type Listed } from "./walk-keys.ts";
import { xmlDocument, type XmlNode } from "./xml.ts";

const KEYS_MAX = 1000;

interface Page {
  readonly listed: readonly Listed[];
  /** The last of this page, when there is more behind it. */
  readonly next: string | undefined;
}

/** ListObjects, the first version. */
export async function listObjects(exchange: BucketExchange): Promise<void> {
  const { request, bucket } = exchange;
  const { query } = request;
  const asked = askedOf(query);
  const marker = query.get("marker") ?? "";
  const { listed, next } = await pageOf(bucket, { ...asked, after: marker });
  const { text } = asked;
  sendXml(
    exchange,
    xmlDocument("ListBucketResult", [
      ["Name", bucket.name],
      ["Prefix", text(asked.prefix)],
      ["Marker", text(marker)],
      ["MaxKeys", asked.keysMax],
      ...asked.common,
      ["IsTruncated", next !== undefined],
      ...(next === undefined ? [] : [["NextMarker", text(next)] as const]),
      ...(await entriesOf(bucket, listed, { text, owner: true })),
    ]),
  );
}

/** ListObjectsV2. */
export async function listObjectsV2(exchange: BucketExchange): Promise<void> {
  const { request, bucket } = exchange;
  const { query } = request;
  const asked = askedOf(query);
  const [token, startAfter] = [query.get("continuation-token"), query.get("start-after")];
  const { listed, next } = await pageOf(bucket, { ...asked, after: token === undefined ? (startAfter ?? "") : keyOfToken(token) });
  const { text } = asked;
  sendXml(
    exchange,
    xmlDocument("ListBucketResult", [
      ["Name", bucket.name],
      ["Prefix", text(asked.prefix)],
      ["MaxKeys", asked.keysMax],
      ...asked.common,
      ["KeyCount", listed.length],
      ["IsTruncated", next !== undefined],
      ...(startAfter === undefined ? [] : [["StartAfter", text(startAfter)] as const]),
      ...(token === undefined ? [] : [["ContinuationToken", token] as const]),
      ...(next === undefined ? [] : [["NextContinuationToken", tokenOf(next)] as const]),
      ...(await entriesOf(bucket, listed, { text, owner: query.get("fetch-owner") === "true" })),
    ]),
  );
}

export interface Asked {
  readonly prefix: string;
  readonly delimiter: string;
  readonly keysMax: number;
  /** Bytes as the client wants to have them. */
  readonly text: (bytes: string) => string;
  readonly common: readonly XmlNode[];
}

/** What all listings take. Throws `InvalidArgument`. */
export function askedOf(query: Query, maxName = "max-keys"): Asked {
  const encoding = query.get("encoding-type");
  if (encoding !== undefined && encoding !== "url") throw new S3Error("InvalidArgument", "encoding-type is url or nothing.");
  const max = query.get(maxName) ?? String(KEYS_MAX);
  if (!/^\d{1,9}$/.test(max)) throw new S3Error("InvalidArgument", `${maxName} is no number.`);
  const [prefix, delimiter] = [query.get("prefix") ?? "", query.get("delimiter") ?? ""];
  const text = encoding === undefined ? textOfBytes : (bytes: string): string => bytes.split("/").map(escapeBytes).join("/");
  return {
    prefix,
    delimiter,
    keysMax: Math.min(Number(max), KEYS_MAX),
    text,
    common: [
      ...(delimiter === "" ? [] : [["Delimiter", text(delimiter)] as const]),
      ...(encoding === undefined ? [] : [["EncodingType", encoding] as const]),
    ],
  };
}

async function pageOf(
  { verbs }: Bucket,
  { prefix, delimiter, keysMax, after }: Pick<Asked, "prefix" | "delimiter" | "keysMax"> & { readonly after: string },
): Promise<Page> {
  const listed: Listed[] = [];
  if (keysMax === 0) return { listed, next: undefined };
  for await (const one of walkKeys(objectTree(verbs), { prefix, delimiter, after })) {
    if (listed.length === keysMax) return { listed, next: listed.at(-1)!.key }; // full, and more than none
    listed.push(one);
  }
  return { listed, next: undefined };
}

async function entriesOf(
  { verbs }: Bucket,
  listed: readonly Listed[],
  { text, owner }: { readonly text: Asked["text"]; readonly owner: boolean },
): Promise<readonly XmlNode[]> {
  const objects: XmlNode[] = [];
  for (const one of listed) {
    if (one.kind === "prefix") continue;
    const { key, attributes } = one;
    objects.push([
      "Contents",
      [
        ["Key", text(key)],
        ["LastModified", modifiedText(attributes)],
        ["ETag", etagOf(await readMeta(verbs, attributes.ino), attributes)],
        ["Size", attributes.kind === "directory" ? 0 : attributes.size],
        ...(owner ? [OWNER] : []),
        ["StorageClass", "STANDARD"],
      ],
    ]);
  }
  const prefixes = listed.filter(({ kind }) => kind === "prefix");
  return [...objects, ...prefixes.map(({ key }): XmlNode => ["CommonPrefixes", [["Prefix", text(key)]]])];
}

/** Volumes have one owner, and its name is nobody's business here. */
export const OWNER: XmlNode = [
  "Owner",
  [
    ["ID", "anax"],
    ["DisplayName", "anax"],
  ],
];

export const modifiedText = ({ mtimeSec, mtimeNsec }: Attributes): string => isoText(mtimeSec * 1000 + Math.floor(mtimeNsec / 1e6));

/** Opaque to clients. */
const tokenOf = (key: string): string => Buffer.from(key, "latin1").toString("base64url");

function keyOfToken(token: string): string {
  if (!/^[A-Za-z0-9_-]+$/.test(token)) throw new S3Error("InvalidArgument", "The continuation token provided is incorrect");
  return Buffer.from(token, "base64url").toString("latin1");
}
