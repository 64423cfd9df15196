import { readFile } from "node:fs/promises";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";
import type { ProxyConfig, RegistryConfig } from "./config.ts";
import { authorityOf, endpointOf, isLoopback, type Endpoint } from "./endpoint.ts";

/** An image registry as the proxy reaches it. */
export interface Registry {
  /** As images spell it: `registry.example:5000`, `docker.io`. */
  readonly name: string;
  readonly endpoint: Endpoint;
  /** Put before `/v2/…`; empty, or a path without a slash at its end. */
  readonly basePath: string;
  /**
   * Settings name it, so its word counts for content that another registry brought here. One that a client merely mentions may be the client's
   * own and say yes to everything: what is cached under its name is kept apart.
   */
  readonly trusted: boolean;
  readonly login: { readonly username: string; readonly password: string } | undefined;
}

/** Docker Hub goes by several names; images say `docker.io`, and only one host speaks the protocol. */
const DOCKER_HUB = "docker.io";
const DOCKER_HUB_NAMES: ReadonlySet<string> = new Set([DOCKER_HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"]);
const DOCKER_HUB_URL = "https://registry-1.docker.io";

const HOST = /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9])?)(:\d{1,5})?$/;

/** The registries that settings name, and those that a request may name besides. */
export class Registries {
  readonly #known: ReadonlyMap<string, Registry>;
  readonly #unknown: boolean;
  /** Names that `registries` has: where settings say more than that a registry exists. */
  readonly hosts: readonly string[];

  private constructor(parts: {
    readonly known: ReadonlyMap<string, Registry>;
    readonly hosts: readonly string[];
    readonly unknown: boolean;
  }) {
    this.#known = parts.known;
    this.#unknown = parts.unknown;
    this.hosts = parts.hosts;
  }

  /** Reads the certificate files that settings name. Throws `config.unreadable`, `config.invalid`. */
  static async open(config: RegistrySettings): Promise<Registries> {
    const known = new Map<string, Registry>();
    for (const [key, settings] of Object.entries(config.registries)) {
      const { host, url } = taken(key);
      if (host === undefined) throw new AnaxError("config.invalid", { problems: [`p2p.proxy.registries: "${key}" names no registry`] });
      known.set(nameOf(host), await configured(nameOf(host), url, settings));
    }
    const hosts = [...known.keys()].flatMap((name) => (name === DOCKER_HUB ? [...DOCKER_HUB_NAMES] : [name]));
    for (const text of [DOCKER_HUB, config.defaultRegistry, ...config.mirrors.map((mirror) => mirror.registry)]) {
      const { host, url } = taken(text);
      if (host === undefined || known.has(nameOf(host))) continue;
      known.set(nameOf(host), registryOf(nameOf(host), url ?? defaultUrlOf(nameOf(host)), TRUSTED));
    }
    return new Registries({ known, hosts, unknown: config.unknownRegistries });
  }

  /** The registry of a name (`quay.io`) or URL (`https://quay.io`). Throws `input.invalid` for what is none, `source.denied` for one that settings exclude. */
  named(text: string): Registry {
    const { host, url } = taken(text);
    if (host === undefined) throw new AnaxError("input.invalid", { reason: "not a registry", registry: text.slice(0, 256) });
    const known = this.#known.get(nameOf(host));
    if (known !== undefined) return known;
    if (!this.#unknown) throw new AnaxError("source.denied", { registry: host, hint: "p2p.proxy.registries can name it" });
    return registryOf(nameOf(host), url ?? defaultUrlOf(nameOf(host)), { ...TRUSTED, trusted: false });
  }

  /** The registry that settings name for a URL's host and port. */
  known(authority: string): Registry | undefined {
    return this.#known.get(nameOf(authority.toLowerCase()));
  }
}

const TRUSTED = { trusted: true, tls: undefined, login: undefined };

/** `host:port` of the registries whose certificates settings say not to check; the daemon's own reader of sources has to know them too. */
export function insecureHostsOf(config: Pick<ProxyConfig, "registries">): readonly string[] {
  const lax = Object.entries(config.registries).filter(([, settings]) => settings.insecureSkipVerify);
  return lax.map(([key, settings]) => {
    const { hostname, port } = endpointOf(
      settings.url === undefined ? defaultUrlOf(nameOf(taken(key).host ?? key), settings) : new URL(settings.url),
    );
    return authorityOf({ hostname, port });
  });
}

type RegistrySettings = Pick<ProxyConfig, "registries" | "unknownRegistries" | "defaultRegistry" | "mirrors">;

/** Whether the first part of a repository path can only be a registry: Docker's own rule for image names. */
export const looksLikeRegistry = (component: string): boolean =>
  (component === "localhost" || /[.:]/.test(component)) && HOST.test(component.toLowerCase());

/** Taken apart and checked: nothing that reaches a URL or a `Host` field is free text. */
function taken(text: string): { readonly host: string | undefined; readonly url: URL | undefined } {
  if (!/^https?:\/\//i.test(text)) return { host: HOST.test(text.toLowerCase()) ? text.toLowerCase() : undefined, url: undefined };
  const url = URL.parse(text);
  if (url === null || url.username !== "" || url.password !== "" || !HOST.test(url.host)) return { host: undefined, url: undefined };
  return { host: url.host, url };
}

const nameOf = (host: string): string => {
  const bare = host.replace(/:443$/, "");
  return DOCKER_HUB_NAMES.has(bare) ? DOCKER_HUB : host;
};

function defaultUrlOf(name: string, settings: Partial<Pick<RegistryConfig, "plainHttp" | "insecureSkipVerify" | "caFile">> = {}): URL {
  if (name === DOCKER_HUB) return new URL(DOCKER_HUB_URL);
  const wantsTls = settings.insecureSkipVerify === true || settings.caFile !== undefined;
  const plain = settings.plainHttp === true || (isLoopback(name.replace(/:\d+$/, "")) && !wantsTls); // as containerd has it for loopback
  return new URL(`${plain ? "http" : "https"}://${name}`);
}

async function configured(name: string, url: URL | undefined, settings: RegistryConfig): Promise<Registry> {
  const base = settings.url === undefined ? (url ?? defaultUrlOf(name, settings)) : new URL(settings.url);
  const tls = { ca: await readCa(settings.caFile), insecureSkipVerify: settings.insecureSkipVerify };
  const login = settings.username === undefined ? undefined : { username: settings.username, password: settings.password ?? "" };
  return registryOf(name, base, { trusted: true, tls, login });
}

function registryOf(name: string, url: URL, more: Pick<Registry, "login" | "trusted"> & Pick<Endpoint, "tls">): Registry {
  const hub = DOCKER_HUB_NAMES.has(url.host) && url.protocol === "https:";
  return {
    name,
    endpoint: endpointOf(hub ? new URL(DOCKER_HUB_URL) : url, more.tls),
    basePath: url.pathname.replace(/\/+$/, "").replace(/\/v[12]$/, ""), // mirrors are often written with the version
    trusted: more.trusted,
    login: more.login,
  };
}

async function readCa(file: string | undefined): Promise<readonly string[]> {
  if (file === undefined) return [];
  try {
    return [await readFile(file, "utf8")];
  } catch (thrown) {
    throw new AnaxError("config.unreadable", { file, reason: systemCodeOf(thrown) ?? String(thrown) }, { cause: thrown });
  }
}
