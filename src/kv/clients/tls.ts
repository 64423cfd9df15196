import { readFileSync } from "node:fs";
import type { Server, Socket } from "node:net";
import { createServer, type ConnectionOptions } from "node:tls";
import { AnaxError } from "../../base/errors.ts";
import type { ParameterValues } from "../parameters/parameters.ts";

type CertificateFile = "tls-cert-file" | "tls-key-file" | "tls-ca-cert-file" | "tls-client-cert-file" | "tls-client-key-file";

/** Throws `config.invalid` where it cannot be read. */
function contentOf(parameters: ParameterValues, name: CertificateFile): Buffer | undefined {
  const file = parameters[name];
  if (file === "") return undefined;
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new AnaxError("config.invalid", { problems: [`${name}: ${file} cannot be read`] }, { cause });
  }
}

/** How this server makes itself known to another one, and how it knows that: whoever has a certificate by our authority, by whatever name it is reached, as Redis has it. */
export function tlsClientOptions(parameters: ParameterValues): ConnectionOptions {
  const own = parameters["tls-client-cert-file"] !== "";
  return {
    cert: contentOf(parameters, own ? "tls-client-cert-file" : "tls-cert-file"),
    key: contentOf(parameters, own ? "tls-client-key-file" : "tls-key-file"),
    ca: contentOf(parameters, "tls-ca-cert-file"),
    passphrase: parameters[own ? "tls-client-key-file-pass" : "tls-key-file-pass"] || undefined,
    ciphers: parameters["tls-ciphers"] || undefined,
    checkServerIdentity: () => undefined,
  };
}

/** A server for clients that speak TLS. Throws `config.invalid` where certificates cannot be read. */
export function createTlsServer(parameters: ParameterValues, accept: (socket: Socket) => void): Server {
  const asks = parameters["tls-auth-clients"];
  const options = {
    cert: contentOf(parameters, "tls-cert-file"),
    key: contentOf(parameters, "tls-key-file"),
    ca: contentOf(parameters, "tls-ca-cert-file"),
    passphrase: parameters["tls-key-file-pass"] || undefined,
    ciphers: parameters["tls-ciphers"] || undefined,
    requestCert: asks !== "no",
    rejectUnauthorized: asks === "yes",
  };
  try {
    const server = createServer(options, accept);
    server.on("tlsClientError", (_error, socket) => socket.destroy());
    return server;
  } catch (cause) {
    throw new AnaxError("config.invalid", { problems: [`tls-cert-file or tls-key-file: ${(cause as Error).message}`] }, { cause });
  }
}
