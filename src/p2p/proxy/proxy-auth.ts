import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { AnaxError } from "../../base/errors.ts";
import type { ProxyConfig } from "./config.ts";

/** What a client is told that comes without. */
export const PROXY_CHALLENGE = { "Proxy-Authenticate": 'Basic realm="anax", charset="UTF-8"' } as const;

/** Throws `proxy.unauthorized` unless the request presents what settings demand, if they demand anything. */
export function checkProxyAuthorization(
  request: Pick<IncomingMessage, "headers">,
  config: Pick<ProxyConfig, "username" | "password">,
): void {
  if (config.username === undefined) return;
  const expected = `${config.username}:${config.password ?? ""}`;
  const [, encoded = ""] = /^basic\s+([A-Za-z0-9+/=_-]+)$/i.exec(request.headers["proxy-authorization"] ?? "") ?? [];
  // Hashes have one length, so that comparing takes the same time whatever was sent.
  if (!timingSafeEqual(sha256(Buffer.from(encoded, "base64")), sha256(Buffer.from(expected)))) throw new AnaxError("proxy.unauthorized");
}

const sha256 = (bytes: Buffer): Buffer => createHash("sha256").update(bytes).digest();
