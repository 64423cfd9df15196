import { isoText } from "../../base/clock.ts";
import { failed, type VolumeVerbs } from "../meta/verbs.ts";
import { sendXml, type BucketExchange } from "./exchange.ts";
import { pathOfKey } from "./keys.ts";
import { askedOf, OWNER, type Asked } from "./list-objects.ts";
import { etagOf } from "./object-meta.ts";
import { textOfBytes } from "./request.ts";
import { createdMsOf, versionsOf, type FoundVersion } from "./versions.ts";
import { objectTree, walkKeys, type KeyTree, type Listed, type WalkOptions } from "./walk-keys.ts";
import type { Bucket } from "./bucket.ts";
import { xmlDocument, type XmlNode } from "./xml.ts";

const PAGE = 1024;

/** A version in a listing, or a common prefix. */
type Row = { readonly key: string } & ({ readonly version: FoundVersion; readonly isLatest: boolean } | { readonly version: undefined });

/** ListObjectVersions: in the order of keys, of each the newest first. */
export async function listObjectVersions(exchange: BucketExchange): Promise<void> {
  const { request, bucket } = exchange;
  const { query } = request;
  const asked = askedOf(query);
  const [keyMarker, idMarker] = [query.get("key-marker") ?? "", query.get("version-id-marker") ?? ""];
  const { rows, more } = await pageOf(bucket, { ...asked, keyMarker, idMarker });
  const last = rows.at(-1);
  const { text } = asked;
  sendXml(
    exchange,
    xmlDocument("ListVersionsResult", [
      ["Name", bucket.name],
      ["Prefix", text(asked.prefix)],
      ["KeyMarker", text(keyMarker)],
      ["VersionIdMarker", textOfBytes(idMarker)],
      ["MaxKeys", asked.keysMax],
      ...asked.common,
      ["IsTruncated", more],
      ...(more && last !== undefined ? [["NextKeyMarker", text(last.key)] as const] : []),
      ...(more && last?.version !== undefined ? [["NextVersionIdMarker", last.version.id] as const] : []),
      ...rows.flatMap((row) => nodeOf(row, text)),
      ...rows.flatMap(({ key, version }): XmlNode[] => (version === undefined ? [["CommonPrefixes", [["Prefix", text(key)]]]] : [])),
    ]),
  );
}

function nodeOf(row: Row, text: Asked["text"]): readonly XmlNode[] {
  if (row.version === undefined) return [];
  const { version, key, isLatest } = row;
  const { attributes, meta, id } = version;
  const marker = meta.version?.deleteMarker === true;
  return [
    [
      marker ? "DeleteMarker" : "Version",
      [
        ["Key", text(key)],
        ["VersionId", id],
        ["IsLatest", isLatest],
        ["LastModified", isoText(createdMsOf(version))],
        ...(marker
          ? []
          : ([
              ["ETag", etagOf(meta, attributes)],
              ["Size", attributes.kind === "directory" ? 0 : attributes.size],
              ["StorageClass", "STANDARD"],
            ] as const)),
        OWNER,
      ],
    ],
  ];
}

async function pageOf(
  bucket: Bucket,
  { prefix, delimiter, keysMax, keyMarker, idMarker }: Asked & { readonly keyMarker: string; readonly idMarker: string },
): Promise<{ readonly rows: readonly Row[]; readonly more: boolean }> {
  const rows: Row[] = [];
  for await (const row of rowsFrom(bucket, { prefix, delimiter, after: keyMarker }, idMarker)) {
    if (rows.length === keysMax) return { rows, more: keysMax > 0 };
    rows.push(row);
  }
  return { rows, more: false };
}

async function* rowsFrom(bucket: Bucket, options: WalkOptions, idMarker: string): AsyncGenerator<Row> {
  if (idMarker !== "") {
    const rows = await rowsOf(bucket, options.after);
    yield* rows.slice(rows.findIndex(({ version }) => version?.id === idMarker) + 1);
  }
  const { verbs } = bucket;
  const root = await bucket.findWorkFolder("versions");
  const objects = walkKeys(objectTree(verbs), options);
  for await (const { kind, key } of root === undefined ? objects : merged(objects, walkKeys(versionTree(verbs, root), options))) {
    if (kind === "prefix") yield { key, version: undefined };
    else yield* await rowsOf(bucket, key);
  }
}

async function rowsOf(bucket: Bucket, key: string): Promise<readonly Row[]> {
  const path = pathOfKey(key);
  const versions = path === undefined ? [] : await versionsOf(bucket, path);
  // What a mount removed is not there any more, but has no delete marker either: then nothing is the latest.
  return versions.map((version, index) => ({
    key,
    version,
    isLatest: index === 0 && (version.isCurrent || version.meta.version?.deleteMarker === true),
  }));
}

/** Each folder is a key, which may have versions, and holds the keys below it. */
const versionTree = (verbs: VolumeVerbs, root: number): KeyTree => ({
  verbs,
  root,
  itemsOf: (entry) =>
    entry.kind !== "directory"
      ? []
      : [
          { entry, text: entry.name },
          { entry, text: `${entry.name}/` },
        ],
  isKey: async () => false,
  hasKeys: async (ino) => {
    for (let cookie = 0; ;) {
      const page = await verbs.readdir(ino, cookie, PAGE, false);
      if (failed(page)) return false;
      if (page.some(({ kind }) => kind === "directory")) return true; // one without keys is removed with its last
      if (page.length < PAGE) return false;
      cookie = page.at(-1)!.cookie; // it is full
    }
  },
});

/** Two listings in order as one, in which what both have comes once. */
async function* merged(a: AsyncGenerator<Listed>, b: AsyncGenerator<Listed>): AsyncGenerator<Listed> {
  let [first, second] = [await a.next(), await b.next()];
  while (first.done !== true || second.done !== true) {
    const order =
      first.done === true
        ? 1
        : second.done === true || first.value.key < second.value.key
          ? -1
          : first.value.key === second.value.key
            ? 0
            : 1;
    yield (order <= 0 ? first : second).value as Listed; // that one is not done
    if (order <= 0) first = await a.next();
    if (order >= 0) second = await b.next();
  }
}
