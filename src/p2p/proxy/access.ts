import { createHmac, randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Clock } from "../../base/clock.ts";
import { AnaxError, errorOf } from "../../base/errors.ts";
import { parseContentRange } from "../../wire/http/range.ts";
import type { ProxyConfig } from "./config.ts";
import { originOf, type Endpoint } from "./endpoint.ts";
import { Lru } from "./lru.ts";
import type { ProxyMetrics } from "./metrics.ts";
import type { Origins } from "./origin.ts";

/** What an origin said of content when it let somebody have it. */
export interface Granted {
  readonly atMs: number;
  /** Bytes, where it told. */
  readonly contentLength: number | undefined;
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
}

export type Access =
  /** `stale`: the origin cannot be asked now, but it allowed this before. */
  | { readonly kind: "allowed"; readonly granted: Granted; readonly stale: boolean }
  /** The origin said no; its own answer to the request is what the client shall get. */
  | { readonly kind: "refused"; readonly status: number }
  /** The origin cannot be asked and never allowed this. */
  | { readonly kind: "unknown"; readonly error: AnaxError };

export interface AccessQuestion {
  readonly endpoint: Endpoint;
  readonly path: string;
  /** What the client presents, `Authorization` and `Cookie`; never logged, kept only as a keyed hash. */
  readonly credentials: Credentials;
  /** Further fields of the client's request that may matter (`Accept`, `User-Agent`). */
  readonly headers: readonly string[];
  /** Whether a redirect counts as a yes: of a registry it leads to the blob, elsewhere as likely to a login page. */
  readonly redirectGrants: boolean;
  /** The content may change: what was granted before is no answer, only what is granted now. */
  readonly askAlways: boolean;
  readonly signal: AbortSignal;
}

export interface Credentials {
  readonly authorization: string | undefined;
  readonly cookie: string | undefined;
}

interface Parts {
  readonly config: ProxyConfig;
  readonly clock: Clock;
  readonly metrics: ProxyMetrics;
  readonly origins: Origins;
}

/**
 * Asks the origin whether a client may have content before it is served from what others brought here. Without this, whoever knows
 * the name of a private blob could read it from any machine that ever pulled it.
 */
export class AccessChecks {
  readonly #parts: Parts;
  readonly #granted: Lru<string, Granted>;
  /** Of this process only: a copy of the memory's keys tells nothing about the credentials. */
  readonly #secret = randomBytes(32);

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#granted = new Lru(parts.config.accessEntriesMax);
  }

  /** Throws only the signal's reason and `source.denied`. */
  async check(question: AccessQuestion): Promise<Access> {
    const access = await this.#decide(question);
    this.#parts.metrics.accessChecks.inc({ answer: access.kind === "allowed" && access.stale ? "stale" : access.kind });
    return access;
  }

  /** The digest that a manifest's head tells now; undefined where the registry says anything else. Throws only the signal's reason. */
  async head(question: AccessQuestion): Promise<string | undefined> {
    try {
      using deadline = this.#parts.clock.deadline(this.#parts.config.accessTimeoutMs, question.signal);
      const reply = await this.#send(question, "HEAD", deadline.signal);
      return reply.statusCode === 200 ? reply.headers["docker-content-digest"]?.toString() : undefined;
    } catch {
      question.signal.throwIfAborted();
      return undefined; // the request that follows will meet the same trouble and report it
    }
  }

  /** What was granted to these credentials, or to everybody, not longer ago than is believed without asking. */
  fresh(question: AccessQuestion): Granted | undefined {
    const oldestMs = this.#parts.clock.nowMs() - this.#parts.config.accessTtlMs;
    return [question.credentials, ANONYMOUS]
      .map((who) => this.#recall(question, who))
      .find((granted) => granted !== undefined && granted.atMs > oldestMs);
  }

  /** What the same credentials, or by setting anybody, once were granted. */
  stale(question: AccessQuestion): Granted | undefined {
    return (
      this.#recall(question, question.credentials) ??
      (this.#parts.config.anonymousWhenUnreachable ? this.#recall(question, ANONYMOUS) : undefined)
    );
  }

  /** Notes that the origin gave this client the content, or the head of it. */
  remember(question: AccessQuestion, reply: IncomingMessage): Granted {
    const granted: Granted = {
      atMs: this.#parts.clock.nowMs(),
      contentLength: lengthOf(reply),
      etag: reply.headers.etag,
      lastModified: reply.headers["last-modified"],
    };
    this.#granted.set(this.#keyOf(question, question.credentials), granted);
    return granted;
  }

  async #decide(question: AccessQuestion): Promise<Access> {
    const known = question.askAlways ? undefined : this.fresh(question);
    if (known !== undefined) return { kind: "allowed", granted: known, stale: false };
    const answer = await this.#ask(question);
    if (answer.kind !== "unknown") return answer;
    const before = this.stale(question);
    return before === undefined ? answer : { kind: "allowed", granted: before, stale: true };
  }

  async #ask(question: AccessQuestion): Promise<Access> {
    try {
      using deadline = this.#parts.clock.deadline(this.#parts.config.accessTimeoutMs, question.signal);
      const head = await this.#send(question, "HEAD", deadline.signal);
      const first = this.#judge(question, head);
      if (first.kind !== "refused" || !HEAD_REFUSED.has(first.status)) return first;
      return this.#judge(question, await this.#send(question, "GET", deadline.signal));
    } catch (thrown) {
      question.signal.throwIfAborted();
      const error = errorOf(thrown);
      if (error.code === "source.denied" || error.code === "proxy.loop") throw error;
      return { kind: "unknown", error: error.code === "download.deadline" ? this.#lateError(question, error) : error };
    }
  }

  async #send(question: AccessQuestion, method: "HEAD" | "GET", signal: AbortSignal): Promise<IncomingMessage> {
    const { authorization, cookie } = question.credentials;
    const headers = [...question.headers, "Accept-Encoding", "identity"];
    if (authorization !== undefined) headers.push("Authorization", authorization);
    if (cookie !== undefined) headers.push("Cookie", cookie);
    if (method === "GET") headers.push("Range", "bytes=0-0");
    const reply = await this.#parts.origins.send({ endpoint: question.endpoint, path: question.path, method, headers, signal });
    if (method === "HEAD") reply.resume();
    else reply.destroy(); // an origin that ignores the range would send everything
    return reply;
  }

  #judge(question: AccessQuestion, reply: IncomingMessage): Access {
    const status = reply.statusCode ?? 502;
    if (status >= 300 && status < 400 && !question.redirectGrants) return { kind: "refused", status };
    if (status < 400) return { kind: "allowed", granted: this.remember(question, reply), stale: false };
    if (status < 500 && status !== 429) return { kind: "refused", status };
    if (status === 501) return { kind: "refused", status };
    return { kind: "unknown", error: new AnaxError("source.bad-status", { url: originOf(question.endpoint), status }) };
  }

  #recall(question: AccessQuestion, who: Credentials): Granted | undefined {
    return this.#granted.get(this.#keyOf(question, who));
  }

  #keyOf(question: AccessQuestion, who: Credentials): string {
    const text = JSON.stringify([originOf(question.endpoint), question.path, who.authorization ?? null, who.cookie ?? null]);
    return createHmac("sha256", this.#secret).update(text).digest("base64");
  }

  #lateError(question: AccessQuestion, cause: AnaxError): AnaxError {
    const reason = `no answer in ${this.#parts.config.accessTimeoutMs} ms`;
    return new AnaxError("source.unreachable", { url: originOf(question.endpoint), systemCode: "ETIMEDOUT", reason }, { cause });
  }
}

const ANONYMOUS: Credentials = { authorization: undefined, cookie: undefined };

/** Some servers refuse HEAD, and pre-signed URLs are signed for GET alone. */
const HEAD_REFUSED: ReadonlySet<number> = new Set([400, 403, 405, 406, 501]);

/** Of the content itself: a redirect's length is that of its own text. */
function lengthOf(reply: IncomingMessage): number | undefined {
  if (reply.statusCode === 206) return parseContentRange(reply.headers["content-range"])?.totalBytes;
  const text = reply.headers["content-length"];
  const sound = reply.statusCode === 200 && text !== undefined && reply.headers["content-encoding"] === undefined;
  return sound && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
