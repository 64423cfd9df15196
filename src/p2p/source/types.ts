import type { ByteRange } from "../model/types.ts";

/** Where content comes from when no peer has it. A new kind of source is one more of these. */
export interface Source {
  /** URL schemes without the colon: `http`, `s3`. */
  readonly schemes: readonly string[];
  /** Length and headers, without the content. Throws the `source.*` errors. */
  stat(request: SourceRequest): Promise<SourceStat>;
  /** The content, or one range of it. Throws `source.range-ignored` when the source sends something else than the range asked for. */
  read(request: SourceRequest & { readonly range?: ByteRange | undefined }): Promise<SourceBody>;
  /** What lies directly in a directory. Absent: the source cannot list. */
  list?(request: SourceRequest): Promise<readonly SourceEntry[]>;
}

export interface SourceRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** PEM certificates to trust besides the system's. */
  readonly certificateChain?: readonly string[] | undefined;
  readonly objectStorage?: ObjectStorage | undefined;
  readonly signal: AbortSignal;
}

export interface ObjectStorage {
  readonly region?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly accessKeyId?: string | undefined;
  readonly accessKeySecret?: string | undefined;
  readonly sessionToken?: string | undefined;
  readonly insecureSkipVerify?: boolean | undefined;
}

export interface SourceStat {
  /** Undefined where the source does not say (chunked replies). */
  readonly contentLength: number | undefined;
  /** True only where the source says so; it may turn out to serve ranges nevertheless. */
  readonly acceptsRanges: boolean;
  readonly isDirectory: boolean;
  /** Lower-case names. */
  readonly responseHeader: Readonly<Record<string, string>>;
}

export interface SourceBody {
  /** Bytes that will come; undefined where the source does not say. */
  readonly contentLength: number | undefined;
  /** Length of the whole content where the reply tells it. */
  readonly totalLength: number | undefined;
  readonly responseHeader: Readonly<Record<string, string>>;
  /**
   * Ends cleanly only when every byte came; throws `source.truncated` otherwise. Each chunk is the consumer's to keep.
   * Iterate it, or abort the request's signal: until then the body holds a connection and one of its host's places.
   */
  readonly chunks: AsyncIterable<Uint8Array>;
}

export interface SourceEntry {
  readonly url: string;
  readonly contentLength: number;
  readonly isDirectory: boolean;
}

/** All sources of a process behind one door: picks by scheme, applies the address policy and retries. */
export interface Sources {
  stat(request: SourceRequest): Promise<SourceStat>;
  read(request: SourceRequest & { readonly range?: ByteRange | undefined }): Promise<SourceBody>;
  list(request: SourceRequest): Promise<readonly SourceEntry[]>;
}
