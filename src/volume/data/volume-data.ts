import { z } from "zod";
import { AnaxError } from "../../base/errors.ts";

/** A record, its dumps and its messages are no place for credentials. */
function hasNoSecret(address: string): boolean {
  if (!URL.canParse(address)) return true;
  const { username, password, search } = new URL(address);
  return username === "" && password === "" && search === "";
}

/** A place in a bucket of an S3-compatible store. Credentials are no part of it: who opens it takes them from its environment, or the usual files of AWS. */
const S3Place = z.strictObject({
  kind: z.literal("s3"),
  bucket: z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/),
  /** Before every key; empty, or ends with a slash. */
  prefix: z.string().max(512),
  /** Undefined: Amazon's, of the region. */
  endpoint: z
    .url({ protocol: /^https?$/ })
    .refine(hasNoSecret, "credentials come from the environment")
    .optional(),
  region: z.string().min(1).max(64),
  /** What `fsync` and `close` wait for: the store, or this machine's disk, from which it is uploaded later. */
  durability: z.enum(["remote", "local"]),
  /** Most bytes of blobs that are kept here to be read again. */
  cacheBytesMax: z.int().nonnegative(),
  /** Most bytes that wait to be uploaded; writers wait beyond it. */
  backlogBytesMax: z.int().positive(),
  /** Whether other machines are asked for a blob, by way of the daemon, before the store is. */
  peers: z.boolean().default(false),
});

/** Where the content of a volume lies: in its own directory, or in a bucket. */
export const VolumeDataShape = z.discriminatedUnion("kind", [z.strictObject({ kind: z.literal("directory") }), S3Place]);

export type S3Data = Readonly<z.infer<typeof S3Place>>;
export type VolumeData = Readonly<z.infer<typeof VolumeDataShape>>;

export const IN_DIRECTORY: VolumeData = { kind: "directory" };

const MIB = 1024 * 1024;
const CACHE_BYTES_DEFAULT = 10 * 1024 * MIB;
const BACKLOG_BYTES_DEFAULT = 1024 * MIB;
/** A mount's buffer must find room at once. */
const BACKLOG_BYTES_MIN = 64 * MIB;
/** What is on its way at once must not be evicted by itself. */
const CACHE_BYTES_MIN = 256 * MIB;

export interface S3DataOptions {
  /** `s3://bucket` or `s3://bucket/prefix`. */
  readonly url: string;
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  readonly durability?: S3Data["durability"] | undefined;
  readonly cacheBytesMax?: number | undefined;
  readonly backlogBytesMax?: number | undefined;
  readonly peers?: boolean | undefined;
}

/** Throws `input.invalid`: also for an address with a password in it, since the record is no place for one. */
export function s3DataOf(options: S3DataOptions): S3Data {
  const match = /^s3:\/\/([^/?#@]+)(?:\/([^?#]*))?$/.exec(options.url);
  if (match === null) throw new AnaxError("input.invalid", { data: options.url, expected: "s3://bucket/prefix" });
  const { endpoint } = options;
  if (endpoint !== undefined && !hasNoSecret(endpoint))
    throw new AnaxError("input.invalid", { expected: "an endpoint without credentials: those come from the environment" });
  const [, bucket, path = ""] = match;
  const prefix = path.replace(/\/+$/, "");
  const parsed = S3Place.safeParse({
    kind: "s3",
    bucket,
    prefix: prefix === "" ? "" : `${prefix}/`,
    ...(endpoint !== undefined && { endpoint }),
    region: options.region ?? "us-east-1",
    durability: options.durability ?? "remote",
    cacheBytesMax: Math.max(options.cacheBytesMax ?? CACHE_BYTES_DEFAULT, CACHE_BYTES_MIN),
    backlogBytesMax: Math.max(options.backlogBytesMax ?? BACKLOG_BYTES_DEFAULT, BACKLOG_BYTES_MIN),
    peers: options.peers ?? false,
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new AnaxError("input.invalid", { data: options.url, field: issue?.path.join("."), reason: issue?.message });
}

/** As it was stored. Undefined for what is no place of ours. */
export function parseVolumeData(text: string): VolumeData | undefined {
  try {
    return VolumeDataShape.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** For people. */
export const placeText = (data: VolumeData): string =>
  data.kind === "directory"
    ? "directory"
    : `s3://${data.bucket}/${data.prefix}${data.endpoint === undefined ? "" : ` at ${data.endpoint}`}, durability ${data.durability}, peers ${data.peers ? "on" : "off"}`;
