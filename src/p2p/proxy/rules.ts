import type { ProxyConfig, ProxyRule } from "./config.ts";

export interface CompiledRule extends Omit<ProxyRule, "regex"> {
  readonly regex: RegExp;
}

/** Which requests through the proxy become tasks, and under which address their origin is asked. */
export class Rules {
  readonly #rules: readonly CompiledRule[];

  constructor(config: Pick<ProxyConfig, "rules" | "filteredQueryParams">) {
    this.#rules = config.rules.map((rule) => ({
      ...rule,
      regex: new RegExp(rule.regex),
      filteredQueryParams: [...config.filteredQueryParams, ...rule.filteredQueryParams],
    }));
  }

  /** The first rule that matches, or undefined. */
  match(url: string): CompiledRule | undefined {
    return this.#rules.find((rule) => rule.regex.test(url));
  }
}

/** The URL that a rule makes of the one asked for. */
export function rewritten(url: URL, rule: CompiledRule | undefined): URL {
  if (rule === undefined || (rule.redirect === undefined && !rule.useTls)) return url;
  const target = new URL(url);
  if (rule.redirect !== undefined) {
    target.port = "";
    target.host = rule.redirect;
  }
  if (rule.useTls) target.protocol = "https:";
  return target;
}
