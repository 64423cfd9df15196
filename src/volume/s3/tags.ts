import { Query, textOfBytes } from "./request.ts";
import { S3Error } from "./s3-error.ts";

type Tags = readonly (readonly [key: string, value: string])[];

export const TAGS_MAX = 10;
const KEY_MAX = 128;
const VALUE_MAX = 256;

/** Those of a `x-amz-tagging` header, which is written like a query. Throws `InvalidTag`. */
export const tagsOfHeader = (header: string): Tags =>
  checkedTags(new Query(header).pairs.map(([key, value]) => [textOfBytes(key), textOfBytes(value)]));

/** Throws `InvalidTag`. */
export function checkedTags(tags: Tags): Tags {
  const keys = new Set(tags.map(([key]) => key));
  const good = tags.every(
    ([key, value]) => key.length > 0 && key.length <= KEY_MAX && value.length <= VALUE_MAX && !key.startsWith("aws:"),
  );
  if (tags.length > TAGS_MAX) throw new S3Error("InvalidTag", "Object tags cannot be greater than 10.");
  if (!good || keys.size < tags.length) throw new S3Error("InvalidTag");
  return tags;
}
