import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ParameterValues } from "../../../src/kv/parameters/parameters.ts";
import { createTestCertificate } from "../../kit/certificates.ts";
import { freePort } from "../../kit/process.ts";
import { temporaryDirectory } from "../../kit/temporary-directory.ts";
import { startStoreProcess } from "../../store/store-process.ts";

/** A store as foreign clients find it: a plain port and one with TLS, a default user and one with a password, and all that it acknowledges on disk. */
export interface ClientScene extends AsyncDisposable {
  readonly port: number;
  readonly tlsPort: number;
  /** PEM, and the file it is in. */
  readonly ca: string;
  readonly caFile: string;
  /** A directory for whatever a client writes. */
  readonly path: string;
  /** Kills the process, and starts another one on the same ports with the same files. */
  crash(): Promise<void>;
}

export const USER = { username: "ann", password: "open sesame" } as const;

/** How a client may come: protocol, and whether with TLS as a user with a password. */
export interface Way {
  readonly protocol: 2 | 3;
  readonly secure: boolean;
}

export const WAYS: readonly Way[] = [
  { protocol: 2, secure: false },
  { protocol: 3, secure: false },
  { protocol: 2, secure: true },
  { protocol: 3, secure: true },
];

export const nameOf = ({ protocol, secure }: Way): string => `RESP${protocol}${secure ? " over TLS as a user with a password" : ""}`;

export async function startClientScene(parameters: Partial<ParameterValues> = {}): Promise<ClientScene> {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const { ca, cert, key } = createTestCertificate(["127.0.0.1", "localhost"]);
  const file = (name: string, text: string): string => {
    const path = join(directory.path, name);
    writeFileSync(path, text);
    return path;
  };
  const caFile = file("ca.pem", ca);
  const options = {
    port: await freePort(),
    dataDir: directory.path,
    users: [[USER.username, "on", `>${USER.password}`, "~*", "&*", "+@all"]],
    parameters: {
      appendonly: true,
      appendfsync: "always",
      "tls-port": await freePort(),
      "tls-cert-file": file("cert.pem", cert),
      "tls-key-file": file("key.pem", key),
      "tls-auth-clients": "no",
      ...parameters,
    },
  } as const;
  let process = await startStoreProcess(options);
  scope.defer(() => process.kill());
  const owned = scope.move();
  return {
    port: process.port,
    tlsPort: process.tlsPort,
    ca,
    caFile,
    path: directory.path,
    async crash() {
      await process.kill();
      process = await startStoreProcess(options);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
