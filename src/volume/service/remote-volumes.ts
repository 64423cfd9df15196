import { once } from "node:events";
import { readFileSync } from "node:fs";
import { request as plainRequest, type IncomingMessage } from "node:http";
import { request as secureRequest } from "node:https";
import { createInterface } from "node:readline";
import { AnaxError, errorOf, isErrorCode, type ErrorDetails } from "../../base/errors.ts";
import type { ArgsOf, MethodName, OnProgress, ResultOf, VolumeService } from "./methods.ts";
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

interface Line {
  readonly progress?: Parameters<OnProgress>[0];
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
    let last: Line | undefined;
    try {
      const response = await this.#send(name, JSON.stringify(args));
      for await (const text of createInterface({ input: response })) {
        if (text === "") continue;
        const line = JSON.parse(text) as Line;
        if (line.progress !== undefined) onProgress?.(line.progress);
        else last = line;
      }
      if (last === undefined || !response.complete) throw new AnaxError("socket.closed", { reason: "the answer ended early" });
    } catch (cause) {
      const { message: reason } = errorOf(cause);
      throw new AnaxError("volume.service-unreachable", { server: this.#url.host, method: name, reason }, { cause });
    }
    const { error } = last;
    if (error !== undefined) throw new AnaxError(isErrorCode(error.code) ? error.code : "internal", error.details);
    return last.result as ResultOf<K>; // of a service whose token we have
  }

  async #send(name: string, body: string): Promise<IncomingMessage> {
    const { token, caFile } = this.#options;
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const url = new URL(PATH + name, this.#url);
    const options = { method: "POST", headers, timeout: SILENCE_MS, agent: false as const };
    const sent =
      url.protocol === "https:"
        ? secureRequest(url, { ...options, ...(caFile !== undefined && { ca: readFileSync(caFile) }) })
        : plainRequest(url, options);
    sent.on("timeout", () => void sent.destroy(new AnaxError("socket.closed", { reason: "no answer" })));
    sent.end(body);
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    return response;
  }
}

const invalid = (server: string): AnaxError =>
  new AnaxError("input.invalid", {
    server: URL.canParse(server) ? new URL(server).host : server,
    expected: "http://host:port or https://host:port",
  });
