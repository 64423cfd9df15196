import { formatHttpDate } from "../../base/http-date.ts";
import type { Attributes } from "../meta/verbs.ts";
import { checksumHeaderOf } from "./checksum.ts";
import { contentOf, etagOf, type ObjectMeta } from "./object-meta.ts";
import { headerOf, type S3Request } from "./request.ts";
import { S3Error } from "./s3-error.ts";
import { tagsOfHeader } from "./tags.ts";

/** Headers that an object keeps, and answers with. */
const KEPT = ["content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires"] as const;
const USER = "x-amz-meta-";
/** Of all user metadata, names included. */
const USER_BYTES_MAX = 2048;
/** What would have to be kept for a promise to hold. */
const REFUSED = /^x-amz-(server-side-encryption|object-lock|website-redirect)/;

/** Headers of a new object that are to be kept. Throws `MetadataTooLarge`, `InvalidTag`, `NotImplemented` for what would be promised and not kept. */
export function metaOfRequest(request: S3Request): Pick<ObjectMeta, "headers" | "user" | "tags"> {
  const names = Object.keys(request.http.headersDistinct);
  const refused = names.find((name) => REFUSED.test(name));
  if (refused !== undefined) throw new S3Error("NotImplemented", `The header ${refused} is not implemented.`);
  const headers = KEPT.flatMap((name): [string, string][] => {
    const value = headerOf(request, name);
    const kept = name === "content-encoding" ? value?.replaceAll(/\s*aws-chunked\s*,?\s*/g, "") : value;
    return kept === undefined || kept === "" ? [] : [[name, kept]];
  });
  const user = names
    .filter((name) => name.startsWith(USER))
    .map((name): [string, string] => [name.slice(USER.length), headerOf(request, name) ?? ""]);
  if (user.reduce((sum, [name, value]) => sum + name.length + value.length, 0) > USER_BYTES_MAX) throw new S3Error("MetadataTooLarge");
  const tags = headerOf(request, "x-amz-tagging");
  return { headers: Object.fromEntries(headers), user: Object.fromEntries(user), ...(tags !== undefined && { tags: tagsOfHeader(tags) }) };
}

/** What an answer says of an object; without its length. */
export function objectHeaders(meta: ObjectMeta, attributes: Attributes): Readonly<Record<string, string>> {
  const { headers = {}, user = {}, tags = [], version } = meta;
  return {
    "content-type": attributes.kind === "directory" ? "application/x-directory" : "binary/octet-stream",
    ...headers,
    ...Object.fromEntries(Object.entries(user).map(([name, value]) => [USER + name, value])),
    etag: etagOf(meta, attributes),
    "last-modified": lastModifiedOf(attributes),
    "accept-ranges": "bytes",
    ...(tags.length > 0 && { "x-amz-tagging-count": String(tags.length) }),
    ...(version !== undefined && { "x-amz-version-id": version.id }),
  };
}

/** Of the whole content, when the client wants to compare. */
export function checksumHeaders(request: S3Request, meta: ObjectMeta, attributes: Attributes): Readonly<Record<string, string>> {
  const checksum = contentOf(meta, attributes)?.checksum;
  if (checksum === undefined || headerOf(request, "x-amz-checksum-mode")?.toUpperCase() !== "ENABLED") return {};
  return { [checksumHeaderOf(checksum.name)]: checksum.value, "x-amz-checksum-type": checksum.type };
}

/** HTTP knows seconds only. */
export const lastModifiedOf = ({ mtimeSec }: Attributes): string => formatHttpDate(mtimeSec * 1000);
