import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import type { ProxyConfig } from "./config.ts";
import { endpointOf } from "./endpoint.ts";
import { Lru } from "./lru.ts";
import type { Origins } from "./origin.ts";
import { readLimited } from "./read-limited.ts";
import type { Registry } from "./registries.ts";

interface Grant {
  readonly authorization: string;
  readonly untilMs: number;
}

/** A token is not used in the last seconds of its life: it must survive the request that it is sent with. */
const MARGIN_MS = 10_000;
/** What a token server that does not say so grants (distribution token specification). */
const DEFAULT_LIFE_S = 60;
const BASIC_LIFE_MS = 3_600_000;
const TOKEN_BYTES_MAX = 256 * 1024;
const GRANTS_MAX = 1024;

/** Credentials of settings, turned into what a registry wants to see: Basic as they are, or a token fetched with them. */
export class Logins {
  readonly #origins: Origins;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #grants = new Lru<string, Grant>(GRANTS_MAX);

  constructor(parts: { readonly config: ProxyConfig; readonly clock: Clock; readonly origins: Origins }) {
    this.#origins = parts.origins;
    this.#clock = parts.clock;
    this.#timeoutMs = parts.config.accessTimeoutMs;
  }

  /** The `Authorization` to read a repository with; undefined without a login or where the registry wants none. Throws `source.*`. */
  async authorizationFor(registry: Registry, repository: string, signal: AbortSignal): Promise<string | undefined> {
    if (registry.login === undefined) return undefined;
    const key = `${registry.name} ${repository}`;
    const known = this.#grants.get(key);
    if (known !== undefined && known.untilMs > this.#clock.nowMs()) return known.authorization;
    using deadline = this.#clock.deadline(this.#timeoutMs, signal);
    const grant = await this.#ask(registry, repository, deadline.signal);
    if (grant !== undefined) this.#grants.set(key, grant);
    return grant?.authorization;
  }

  async #ask(registry: Registry, repository: string, signal: AbortSignal): Promise<Grant | undefined> {
    const ping = await this.#origins.send({
      endpoint: registry.endpoint,
      method: "GET",
      path: `${registry.basePath}/v2/`,
      headers: [],
      signal,
    });
    ping.resume();
    if (ping.statusCode !== 401) return undefined;
    const challenge = ping.headers["www-authenticate"] ?? "";
    const basic = basicOf(registry);
    if (!/^bearer\s/i.test(challenge)) return { authorization: basic, untilMs: this.#clock.nowMs() + BASIC_LIFE_MS };
    return this.#fetchToken(tokenUrlOf(challenge, registry, repository), basic, signal);
  }

  async #fetchToken(url: URL, basic: string, signal: AbortSignal): Promise<Grant> {
    const headers = ["Authorization", basic, "Accept", "application/json"];
    const reply = await this.#origins.send({ endpoint: endpointOf(url), method: "GET", path: url.pathname + url.search, headers, signal });
    const body = await readLimited(reply, TOKEN_BYTES_MAX);
    if (reply.statusCode !== 200) throw new AnaxError("source.unauthorized", { url: url.origin, status: reply.statusCode });
    const { token, lifeS } = parseToken(body, url);
    return { authorization: `Bearer ${token}`, untilMs: this.#clock.nowMs() + lifeS * 1000 - MARGIN_MS };
  }
}

function basicOf(registry: Registry): string {
  const { username = "", password = "" } = registry.login ?? {};
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** The realm must not be plain http for a registry that is not: the password would travel in the clear. */
function tokenUrlOf(challenge: string, registry: Registry, repository: string): URL {
  const field = (name: string): string | undefined => new RegExp(`${name}="([^"]*)"`, "i").exec(challenge)?.[1];
  const realm = URL.parse(field("realm") ?? "");
  const sound = realm?.protocol === "https:" || (realm?.protocol === "http:" && registry.endpoint.protocol === "http:");
  if (realm === null || !sound) throw new AnaxError("source.unauthorized", { registry: registry.name, reason: "no usable token realm" });
  const service = field("service");
  if (service !== undefined) realm.searchParams.set("service", service);
  realm.searchParams.set("scope", `repository:${repository}:pull`);
  return realm;
}

function parseToken(body: Buffer, url: URL): { readonly token: string; readonly lifeS: number } {
  try {
    const fields = JSON.parse(body.toString("utf8")) as { token?: unknown; access_token?: unknown; expires_in?: unknown };
    const token = fields.token ?? fields.access_token;
    if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token)) throw new TypeError("no token");
    return { token, lifeS: typeof fields.expires_in === "number" ? fields.expires_in : DEFAULT_LIFE_S };
  } catch (thrown) {
    throw new AnaxError("source.unauthorized", { url: url.origin, reason: "the token server sent no token" }, { cause: thrown });
  }
}
