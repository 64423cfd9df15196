import { readFileSync } from "node:fs";
import { parse as parseYaml, YAMLParseError } from "yaml";
import { z } from "zod";
import { AnaxError, systemCodeOf } from "./errors.ts";
import { nearestOf } from "./nearest.ts";

/** One setting as a person meets it: in a file, in the environment, in the reference. */
export interface SettingDoc {
  /** Dotted path in the YAML file. */
  readonly path: string;
  readonly env: string;
  readonly type: string;
  readonly default: unknown;
  readonly description: string;
  /** Another path that is accepted in place of it. */
  readonly formerly?: string;
}

interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: unknown;
  readonly description?: string;
  readonly quantity?: string;
  readonly minimumText?: string;
  readonly maximumText?: string;
  /** Never shown. */
  readonly secret?: boolean;
  /** An older key beside it, still accepted. */
  readonly formerly?: string;
}

export interface SettingSources {
  /** YAML file; absent means none. */
  readonly file?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** From the command line, as text: dotted path to value. */
  readonly texts?: Readonly<Record<string, string>>;
  /** From the command line, as values; they win over `texts`. */
  readonly flags?: Readonly<Record<string, unknown>>;
  /** What this caller wants instead of the schema's defaults, where nobody says anything. */
  readonly defaults?: Readonly<Record<string, unknown>>;
}

/**
 * Settings from flags, over environment, over file, over defaults, frozen. Throws `config.invalid` with every problem
 * and, for an unknown key, the nearest known one; `config.unreadable` when the file cannot be read.
 */
export function loadSettings<S extends z.ZodType>(schema: S, sources: SettingSources): z.output<S> {
  const tree = sources.file === undefined ? {} : readYaml(sources.file);
  const settings = describeSettings(schema);
  for (const setting of settings) {
    const text = sources.env[setting.env] ?? (setting.formerly && sources.env[envNameOf(setting.formerly.split("."))]);
    if (text !== undefined) assign(tree, setting.path, valueOf(text, setting));
  }
  for (const [path, text] of Object.entries(sources.texts ?? {}))
    assign(
      tree,
      path,
      valueOf(
        text,
        settings.find((setting) => setting.path === path || setting.formerly === path),
      ),
    );
  for (const { path, formerly } of settings) if (formerly !== undefined) rename(tree, formerly, path);
  for (const [path, value] of Object.entries(sources.flags ?? {})) if (value !== undefined) assign(tree, path, value);
  for (const [path, value] of Object.entries(sources.defaults ?? {})) if (valueAt(tree, path) === undefined) assign(tree, path, value);
  const parsed = schema.safeParse(tree);
  if (parsed.success) return deepFreeze(parsed.data);
  throw new AnaxError("config.invalid", {
    file: sources.file,
    problems: parsed.error.issues.map((issue) => problemOf(issue, jsonSchemaOf(schema))),
  });
}

/** Every setting of a schema, in its order. */
export function describeSettings(schema: z.ZodType): readonly SettingDoc[] {
  return walk(jsonSchemaOf(schema), []);
}

/** The JSON schema that editors use to complete and check a configuration file. */
export function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchema;
}

function walk(node: JsonSchema, path: readonly string[]): readonly SettingDoc[] {
  if (node.properties !== undefined) return Object.entries(node.properties).flatMap(([key, child]) => walk(child, [...path, key]));
  const formerly = node.formerly === undefined ? undefined : [...path.slice(0, -1), node.formerly].join(".");
  return [
    {
      path: path.join("."),
      env: envNameOf(path),
      type: typeTextOf(node),
      default: node.default,
      description: node.description ?? "",
      ...(formerly === undefined ? {} : { formerly }),
    },
  ];
}

/** `p2p.pieces.quotaBytes` is `ANAX_P2P_PIECES_QUOTA_BYTES`. */
export function envNameOf(path: readonly string[]): string {
  return ["ANAX", ...path.map((part) => part.replaceAll(/([a-z0-9])([A-Z])/g, "$1_$2"))].join("_").toUpperCase();
}

function typeTextOf(node: JsonSchema): string {
  if (node.quantity !== undefined) return `${node.quantity}, ${node.minimumText} to ${node.maximumText}`;
  if (node.enum !== undefined) return node.enum.map(String).join(" | ");
  if (node.anyOf !== undefined) return node.anyOf.map(typeTextOf).join(" or ");
  if (node.type === "array") return `list of ${node.items === undefined ? "values" : typeTextOf(node.items)}`;
  if (node.type === "object") return "map";
  const bounds = node.minimum !== undefined && node.maximum !== undefined ? `, ${node.minimum} to ${node.maximum}` : "";
  return `${String(node.type ?? "value")}${bounds}`;
}

type Tree = Record<string, unknown>;

function readYaml(file: string): Tree {
  try {
    const tree = parseYaml(readFileSync(file, "utf8"), { prettyErrors: true }) as unknown;
    if (tree === null || tree === undefined) return {};
    if (typeof tree === "object" && !Array.isArray(tree)) return tree as Tree;
    throw new AnaxError("config.invalid", { file, problems: ["the file is not a map of settings"] });
  } catch (thrown) {
    if (thrown instanceof YAMLParseError) throw new AnaxError("config.invalid", { file, problems: [thrown.message] }, { cause: thrown });
    if (thrown instanceof AnaxError) throw thrown;
    throw new AnaxError("config.unreadable", { file, reason: systemCodeOf(thrown) ?? String(thrown) }, { cause: thrown });
  }
}

/** What a text means: itself where text is wanted, else YAML, so that lists and maps can be given. */
function valueOf(text: string, setting: SettingDoc | undefined): unknown {
  if (setting?.type === "string") return text;
  try {
    return parseYaml(text) as unknown;
  } catch {
    return text; // the schema says better what is wrong with it
  }
}

function assign(tree: Tree, path: string, value: unknown): void {
  const keys = path.split(".");
  const last = keys.pop()!; // split never gives an empty list
  let node = tree;
  for (const key of keys) {
    const child = node[key];
    if (typeof child !== "object" || child === null) node[key] = {};
    node = node[key] as Tree;
  }
  node[last] = value;
}

/** What somebody says under an older name; the newer one wins where both are there. */
function rename(tree: Tree, from: string, to: string): void {
  const value = valueAt(tree, from);
  if (value === undefined) return;
  const keys = from.split(".");
  const parent = valueAt(tree, keys.slice(0, -1).join(".")) as Tree; // it has the value
  delete parent[keys.at(-1)!]; // split never gives an empty list
  if (valueAt(tree, to) === undefined) assign(tree, to, value);
}

function valueAt(tree: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>((node, key) => (typeof node === "object" && node !== null ? (node as Tree)[key] : undefined), tree);
}

/** Settings for people to see: what the schema calls secret is masked, and so are passwords inside URLs. */
export function withoutSecrets(schema: z.ZodType, settings: unknown): unknown {
  return masked(settings, jsonSchemaOf(schema));
}

function masked(value: unknown, node: JsonSchema): unknown {
  if (value === undefined || value === null) return value;
  if (node.secret === true) return MASK;
  if (Array.isArray(value)) return value.map((item) => masked(item, node.items ?? {}));
  if (typeof value === "string") return withoutPassword(value);
  if (typeof value !== "object") return value;
  const others = typeof node.additionalProperties === "object" ? node.additionalProperties : {};
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, masked(child, node.properties?.[key] ?? others)]));
}

const MASK = "[secret]";

/** `http://user:word@host/` is `http://user:[secret]@host/`. */
const withoutPassword = (text: string): string => text.replace(/^([a-z][a-z0-9+.-]*:\/\/[^/?#:@]*:)[^/?#]*@/i, `$1${MASK}@`);

function problemOf(issue: z.core.$ZodIssue, root: JsonSchema): string {
  const at = issue.path.map(String);
  if (issue.code !== "unrecognized_keys") return `${at.join(".") || "(top)"}: ${issue.message}`;
  const known = Object.keys(at.reduce<JsonSchema | undefined>((node, key) => node?.properties?.[key], root)?.properties ?? {});
  return issue.keys
    .map((key) => {
      const near = nearestOf(key, known);
      return `${[...at, key].join(".")}: unknown setting${near === undefined ? "" : `, did you mean ${[...at, near].join(".")}?`}`;
    })
    .join("; ");
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const child of Object.values(value)) deepFreeze(child);
  }
  return value;
}
