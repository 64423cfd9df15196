import { once } from "node:events";
import { readFileSync } from "node:fs";
import { request as plainRequest, type ClientRequest, type IncomingMessage } from "node:http";
import { request as secureRequest } from "node:https";
import type { Readable, Writable } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { realClock } from "../../base/clock.ts";
import { AnaxError, errorOf, isErrorCode, type ErrorDetails } from "../../base/errors.ts";
import { diskErrorOf } from "../../disk/disk-error.ts";
import type { VolumeRecord } from "../lifecycle/volume-record.ts";
import { partsOf } from "./framing.ts";
import type { Warmed } from "../lifecycle/warm-volume.ts";
import type { ArgsOf, LoadOptions, MethodName, OnProgress, ResultOf, VolumeService, WarmThere } from "./methods.ts";
import { PATH } from "./server.ts";

export interface RemoteOptions {
  /** `http://host:port` or `https://host:port`. */
  readonly server: string;
  readonly token: string;
  /** PEM file of the authority of the server's certificate. Default: those of the system. */
  readonly caFile?: string | undefined;
}

/** The server sends something every few seconds: so long a silence is its end. */
const SILENCE_MS = 30_000;
/** A list of all that a large trash has is one line. */
const LINE_BYTES_MAX = 256 * 1024 * 1024;

interface Line {
  readonly progress?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly code: string; readonly details: ErrorDetails };
}

/** Volumes of a service. Calls throw what it threw, `volume.service-unreachable` and `volume.service-denied`. Never repeats a call: it may have been done. */
export class RemoteVolumes implements VolumeService {
  readonly #options: RemoteOptions;
  readonly #url: URL;

  /** Throws `input.invalid` for an address that is none. */
  constructor(options: RemoteOptions) {
    this.#options = options;
    if (!URL.canParse(options.server)) throw invalid(options.server);
    this.#url = new URL(options.server);
    if (!["http:", "https:"].includes(this.#url.protocol) || this.#url.username !== "" || this.#url.pathname !== "/")
      throw invalid(options.server);
  }

  async call<K extends MethodName>(name: K, args: ArgsOf<K>, onProgress?: OnProgress): Promise<ResultOf<K>> {
    return (await this.#exchange(name, args, { onProgress: onProgress as OnHeard })) as ResultOf<K>; // of a service whose token we have
  }

  async dump(nameOrUuid: string, out: Writable): Promise<VolumeRecord> {
    out.on("error", () => undefined); // whoever writes hears of it
    const volume = await this.#exchange("dump", [nameOrUuid], { onContent: (content) => write(out, content) });
    out.end();
    await finished(out);
    return volume as VolumeRecord; // as above
  }

  async load(from: Readable, options: LoadOptions = {}): ReturnType<VolumeService["load"]> {
    return (await this.#exchange("load", [options], { body: from })) as Awaited<ReturnType<VolumeService["load"]>>; // as above
  }

  /** On the machine of the service, until the signal, whose reason this throws then. */
  async warm(
    nameOrUuid: string,
    options: WarmThere,
    { signal, onProgress }: { readonly signal: AbortSignal; readonly onProgress: (warmed: Warmed) => void },
  ): Promise<Warmed> {
    return (await this.#exchange("warm", [nameOrUuid, options], { signal, onProgress: onProgress as OnHeard })) as Warmed; // as above
  }

  async #exchange(name: string, args: unknown, { body, signal, onContent, onProgress }: Exchange): Promise<unknown> {
    /** What failed here, and not on the way. */
    let own: { readonly error: unknown } | undefined;
    const ours = async (work: Promise<void>): Promise<void> =>
      work.catch((error: unknown) => {
        own ??= { error };
        throw error;
      });
    let last: Line | undefined;
    let sent: ClientRequest | undefined;
    const onAbort = (): void => {
      own ??= { error: signal?.reason };
      sent?.destroy(new AnaxError("socket.closed"));
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      signal?.throwIfAborted();
      sent = this.#open(name, body === undefined ? Buffer.from(JSON.stringify(args)) : undefined);
      const answered = once(sent, "response") as Promise<[IncomingMessage]>;
      if (body !== undefined) {
        sent.write(`${JSON.stringify(args)}\n`);
        body.once("error", (error) => (own ??= { error }));
        pipeline(body, sent).catch(() => undefined); // it shows in what is answered
      }
      const [response] = await answered;
      response.setTimeout(0); // from now on the answer counts, and it is not late while nobody takes it
      for await (const part of partsOf(heard(response), LINE_BYTES_MAX)) {
        if ("content" in part) {
          await ours(onContent?.(part.content) ?? Promise.resolve());
          continue;
        }
        const line = JSON.parse(part.line) as Line;
        if (line.progress !== undefined) onProgress?.(line.progress);
        else last = line;
        if (last !== undefined && body !== undefined) break; // it need not be sent to its end
      }
      if (last === undefined || (body === undefined && !response.complete))
        throw new AnaxError("socket.closed", { reason: "the answer ended early" });
    } catch (cause) {
      if (own !== undefined) throw diskErrorOf(own.error);
      const { message: reason } = errorOf(cause);
      throw new AnaxError("volume.service-unreachable", { server: this.#url.host, method: name, reason }, { cause });
    } finally {
      signal?.removeEventListener("abort", onAbort);
      sent?.destroy();
      body?.destroy();
    }
    const { error } = last;
    if (error !== undefined) throw new AnaxError(isErrorCode(error.code) ? error.code : "internal", error.details);
    return last.result;
  }

  /** Undefined: what is sent comes later. */
  #open(name: string, body: Buffer | undefined): ClientRequest {
    const { token, caFile } = this.#options;
    const length = body === undefined ? {} : { "content-length": body.length };
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json", ...length };
    const url = new URL(PATH + name, this.#url);
    const options = { method: "POST", headers, timeout: SILENCE_MS, agent: false as const };
    const sent =
      url.protocol === "https:"
        ? secureRequest(url, { ...options, ...(caFile !== undefined && { ca: readFileSync(caFile) }) })
        : plainRequest(url, options);
    sent.on("timeout", () => void sent.destroy(new AnaxError("socket.closed", { reason: "no answer" })));
    sent.on("error", () => undefined); // whoever waits for the answer hears of it
    if (body !== undefined) sent.end(body);
    return sent;
  }
}

type OnHeard = (progress: unknown) => void;

interface Exchange {
  /** What is sent after the arguments. */
  readonly body?: Readable;
  /** Ends it, and is what it throws then. */
  readonly signal?: AbortSignal;
  /** The next is not read before it resolves. */
  readonly onContent?: (content: Buffer) => Promise<void>;
  readonly onProgress?: OnHeard | undefined;
}

/** An answer, as long as something comes now and then. */
async function* heard(response: IncomingMessage): AsyncGenerator<Buffer> {
  const chunks = response[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const next = async (): Promise<IteratorResult<Buffer>> => {
    using _late = realClock.timer(SILENCE_MS, () => void response.destroy(new AnaxError("socket.closed", { reason: "no answer" })));
    return await chunks.next();
  };
  for (let { done, value } = await next(); done !== true; { done, value } = await next()) yield value;
}

/** Once it has left our memory. */
const write = (out: Writable, content: Buffer): Promise<void> =>
  new Promise((resolve, reject) => void out.write(content, (error) => (error instanceof Error ? reject(error) : resolve())));

const invalid = (server: string): AnaxError =>
  new AnaxError("input.invalid", {
    server: URL.canParse(server) ? new URL(server).host : server,
    expected: "http://host:port or https://host:port",
  });
