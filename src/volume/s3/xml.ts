import { XMLParser, XMLValidator } from "fast-xml-parser";
import { S3Error } from "./s3-error.ts";

const NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/";
const DEPTH_MAX = 16;

/** An element by its name and what is in it: text, further elements, or nothing. */
export type XmlNode = readonly [name: string, content: XmlContent];
export type XmlContent = string | number | boolean | readonly XmlNode[];

export function xmlDocument(name: string, content: readonly XmlNode[], namespace = NAMESPACE): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${name} xmlns="${namespace}">${content.map(xmlText).join("")}</${name}>`;
}

/** Without a namespace, as S3 has its errors. */
export const xmlError = (content: readonly XmlNode[]): string => `<?xml version="1.0" encoding="UTF-8"?>\n${xmlText(["Error", content])}`;

function xmlText([name, content]: XmlNode): string {
  const inner = typeof content === "object" ? content.map(xmlText).join("") : escapeText(String(content));
  return `<${name}>${inner}</${name}>`;
}

/** What XML 1.0 cannot hold at all becomes U+FFFD: who has such keys asks for `encoding-type=url`. */
const escapeText = (text: string): string =>
  text
    // oxlint-disable-next-line no-control-regex -- it is those that have no place in XML
    .replaceAll(/[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, "\ufffd")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("\r", "&#13;");

/** An element of a request: text of children by name, and children. */
export interface XmlElement {
  readonly name: string;
  /** Text of the child, if it is there and has no children. */
  text(name: string): string | undefined;
  children(name: string): readonly XmlElement[];
  /** What the element itself has. */
  readonly value: string;
}

const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: true,
  removeNSPrefix: true,
  parseTagValue: false,
  trimValues: false,
  ignoreDeclaration: true,
  ignorePiTags: true,
  processEntities: false,
});

/** The document's one element. Throws `MalformedXML`: also for a DOCTYPE, which no request has and whose entities may expand without end. */
export function parseXml(bytes: Uint8Array, root: string): XmlElement {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new S3Error("MalformedXML");
  }
  if (text.includes("<!DOCTYPE") || text.includes("<!ENTITY") || depthOf(text) > DEPTH_MAX) throw new S3Error("MalformedXML");
  try {
    if (XMLValidator.validate(text) !== true) throw new S3Error("MalformedXML");
    const elements = elementsOf(parser.parse(text) as readonly Parsed[]);
    const [only] = elements;
    if (elements.length !== 1 || only?.name !== root) throw new S3Error("MalformedXML");
    return only;
  } catch (thrown) {
    if (thrown instanceof S3Error) throw thrown;
    throw new S3Error("MalformedXML");
  }
}

/** At least as deep as elements are nested, before anything walks them. */
function depthOf(text: string): number {
  let [depth, deepest] = [0, 0];
  for (const [tag] of text.matchAll(/<[^!?<>][^<>]*>/g)) {
    if (tag.startsWith("</")) depth--;
    else if (!tag.endsWith("/>")) deepest = Math.max(deepest, ++depth);
  }
  return deepest;
}

/** As the parser has elements with `preserveOrder`. */
type Parsed = Readonly<Record<string, readonly Parsed[] | string>>;

function elementsOf(parsed: readonly Parsed[]): readonly XmlElement[] {
  return parsed.flatMap((one) => {
    const [name] = Object.keys(one);
    const content = name === undefined || name === "#text" ? undefined : one[name];
    return name === undefined || typeof content !== "object" ? [] : [elementOf(name, content)];
  });
}

function elementOf(name: string, content: readonly Parsed[]): XmlElement {
  const inner = elementsOf(content);
  const value = unescaped(content.map((part) => (typeof part["#text"] === "string" ? part["#text"] : "")).join(""));
  return {
    name,
    value,
    text: (child) => inner.find((element) => element.name === child)?.value,
    children: (child) => inner.filter((element) => element.name === child),
  };
}

const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

/** The five of XML, and characters by their numbers, as some clients write quotes; no document declares others. Throws `MalformedXML`. */
function unescaped(text: string): string {
  return text.replaceAll(/&([^;&]*);?/g, (_, name: string) => {
    const code = /^#(?:x([0-9a-fA-F]{1,6})|(\d{1,7}))$/.exec(name);
    const point = code === null ? undefined : code[1] === undefined ? Number(code[2]) : Number.parseInt(code[1], 16);
    const found = point === undefined ? ENTITIES[name] : point <= 0x10_ff_ff ? String.fromCodePoint(point) : undefined;
    if (found === undefined) throw new S3Error("MalformedXML");
    return found;
  });
}
