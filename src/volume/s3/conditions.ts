import { parseHttpDateMs } from "../../base/http-date.ts";
import type { Attributes } from "../meta/verbs.ts";
import type { Bucket } from "./bucket.ts";
import { etagOf, readMeta, type ObjectMeta } from "./object-meta.ts";
import type { ReplaceRule } from "./objects.ts";
import { headerOf, type S3Request } from "./request.ts";
import { S3Error } from "./s3-error.ts";

/** Conditions of a request for an object, in the order of RFC 9110 §13.2.2. Throws `PreconditionFailed`, `NotModified`. */
export function checkRead(request: S3Request, meta: ObjectMeta, attributes: Attributes): void {
  const etag = etagOf(meta, attributes);
  const header = (name: string): string | undefined => headerOf(request, name);
  const [match, since] = [header("if-match"), timeOf(header("if-unmodified-since"))];
  if (match !== undefined ? !names(match, etag) : since !== undefined && attributes.mtimeSec * 1000 > since)
    throw new S3Error("PreconditionFailed");
  const [noneMatch, modified] = [header("if-none-match"), timeOf(header("if-modified-since"))];
  const headers = { etag };
  if (noneMatch !== undefined ? names(noneMatch, etag) : modified !== undefined && attributes.mtimeSec * 1000 <= modified)
    throw new S3Error("NotModified", "Not Modified", headers);
}

/** The same for the source of a copy. Throws `PreconditionFailed`. */
export function checkSource(request: S3Request, meta: ObjectMeta, attributes: Attributes): void {
  const etag = etagOf(meta, attributes);
  const header = (name: string): string | undefined => headerOf(request, `x-amz-copy-source-if-${name}`);
  const [match, noneMatch] = [header("match"), header("none-match")];
  const [unmodified, modified] = [timeOf(header("unmodified-since")), timeOf(header("modified-since"))];
  const changedMs = attributes.mtimeSec * 1000;
  const good =
    (match !== undefined ? names(match, etag) : unmodified === undefined || changedMs <= unmodified) &&
    (noneMatch !== undefined ? !names(noneMatch, etag) : modified === undefined || changedMs > modified);
  if (!good) throw new S3Error("PreconditionFailed");
}

/** What a request that writes allows to be replaced: everything, nothing (`If-None-Match: *`), or one content (`If-Match`). */
export function replaceRuleOf(request: S3Request, bucket: Bucket): ReplaceRule {
  const [match, noneMatch] = [headerOf(request, "if-match"), headerOf(request, "if-none-match")];
  if (noneMatch !== undefined && noneMatch !== "*")
    throw new S3Error("NotImplemented", "If-None-Match of a request that writes takes '*' only.");
  return {
    onlyNew: noneMatch !== undefined,
    check: async (current) => {
      if (noneMatch !== undefined && current !== undefined) throw new S3Error("PreconditionFailed");
      if (match === undefined) return;
      if (current === undefined) throw new S3Error("NoSuchKey");
      const { attributes } = current;
      if (!names(match, etagOf(await readMeta(bucket.verbs, attributes.ino), attributes))) throw new S3Error("PreconditionFailed");
    },
  };
}

/** Whether a list of entity tags has this one; clients leave quotes out. */
const names = (list: string, etag: string): boolean =>
  list.split(",").some((part) => part.trim() === "*" || part.trim().replace(/^W\//, "").replaceAll('"', "") === etag.replaceAll('"', ""));

const timeOf = (header: string | undefined): number | undefined => (header === undefined ? undefined : parseHttpDateMs(header));
