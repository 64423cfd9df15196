import { createHash, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";

/** Which certificate authorities a connection believes. Reading them costs tens of milliseconds, so nothing happens before the first HTTPS request. */
export class Trust {
  readonly #caFiles: readonly string[];
  readonly #contexts = new Map<string, Promise<SecureContext>>();

  constructor(caFiles: readonly string[]) {
    this.#caFiles = caFiles;
  }

  /** Node's and the machine's authorities, the configured files and `certificates` (PEM). Throws `config.unreadable`, `input.invalid`. */
  async contextOf(certificates: readonly string[]): Promise<SecureContext> {
    const key = chainKeyOf(certificates);
    const known = this.#contexts.get(key);
    if (known !== undefined) return known;
    const made = this.#create(certificates);
    this.#contexts.set(key, made);
    const [oldest] = this.#contexts.keys();
    if (this.#contexts.size > CONTEXTS_MAX && oldest !== undefined) this.#contexts.delete(oldest);
    try {
      return await made;
    } catch (thrown) {
      this.#contexts.delete(key); // a file may be repaired while we run
      throw thrown;
    }
  }

  async #create(certificates: readonly string[]): Promise<SecureContext> {
    const files = await Promise.all(this.#caFiles.map(readPem));
    const ca = [...new Set([...getCACertificates("default"), ...getCACertificates("system"), ...files])];
    try {
      for (const pem of [...files, ...certificates]) void new X509Certificate(pem); // a context passes over what it cannot read
      return createSecureContext({ ca: [...ca, ...certificates] });
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      const what = certificates.length > 0 ? "a certificate of the request or of caFiles" : "a certificate of caFiles";
      throw new AnaxError("input.invalid", { what, reason }, { cause: thrown });
    }
  }
}

/** Different chains per request are rare; a handful of contexts (some 100 KiB each) is plenty. */
const CONTEXTS_MAX = 16;

export const chainKeyOf = (certificates: readonly string[]): string =>
  certificates.length === 0 ? "" : createHash("sha256").update(certificates.join("\n")).digest("hex");

async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (thrown) {
    throw new AnaxError("config.unreadable", { file, reason: systemCodeOf(thrown) ?? String(thrown) }, { cause: thrown });
  }
}
