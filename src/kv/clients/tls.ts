import { readFileSync } from "node:fs";
import type { Server, Socket } from "node:net";
import { createServer } from "node:tls";
import { AnaxError } from "../../base/errors.ts";
import type { ParameterValues } from "../parameters/parameters.ts";

/** A server for clients that speak TLS. Throws `config.invalid` where certificates cannot be read. */
export function createTlsServer(parameters: ParameterValues, accept: (socket: Socket) => void): Server {
  const read = (name: "tls-cert-file" | "tls-key-file" | "tls-ca-cert-file"): Buffer | undefined => {
    const file = parameters[name];
    if (file === "") return undefined;
    try {
      return readFileSync(file);
    } catch (cause) {
      throw new AnaxError("config.invalid", { problems: [`${name}: ${file} cannot be read`] }, { cause });
    }
  };
  const asks = parameters["tls-auth-clients"];
  const options = {
    cert: read("tls-cert-file"),
    key: read("tls-key-file"),
    ca: read("tls-ca-cert-file"),
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
