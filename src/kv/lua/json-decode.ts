import { failure } from "./operations.ts";
import { LuaTable } from "./table.ts";
import { numberOf, type LightUserdata, type LuaValue } from "./value.ts";

export interface JsonDecoding {
  readonly depthMax: number;
  readonly invalidNumbers: boolean;
  /** What JSON's null becomes. */
  readonly null: LightUserdata;
}

type Kind =
  | "T_OBJ_BEGIN"
  | "T_OBJ_END"
  | "T_ARR_BEGIN"
  | "T_ARR_END"
  | "T_STRING"
  | "T_NUMBER"
  | "T_BOOLEAN"
  | "T_NULL"
  | "T_COLON"
  | "T_COMMA"
  | "T_END";

const SINGLE: Readonly<Record<string, Kind>> = {
  "{": "T_OBJ_BEGIN",
  "}": "T_OBJ_END",
  "[": "T_ARR_BEGIN",
  "]": "T_ARR_END",
  ":": "T_COLON",
  ",": "T_COMMA",
};
const ESCAPES: Readonly<Record<string, string>> = { '"': '"', "\\": "\\", "/": "/", b: "\b", t: "\t", n: "\n", f: "\f", r: "\r" };
const NUMBER = /-?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN])/y;
/** Numbers that JSON does not have. */
const INVALID_NUMBER = /^-?(?:0[xX0-9]|inf|nan)/i;

/** A text in JSON as a value; errors are lua-cjson's, which scripts may look for. */
export const decodeJson = (text: string, decoding: JsonDecoding): LuaValue => new JsonDecoder(text, decoding).decode();

class JsonDecoder {
  readonly #text: string;
  readonly #decoding: JsonDecoding;
  #at = 0;
  #depth = 0;
  /** The token under way: its kind or what is wrong with it, where it begins, and what it holds. */
  #kind = "" as string;
  #start = 0;
  #value: LuaValue;

  constructor(text: string, decoding: JsonDecoding) {
    this.#text = text;
    this.#decoding = decoding;
  }

  decode(): LuaValue {
    if (this.#text.length >= 2 && (this.#text[0] === "\0" || this.#text[1] === "\0"))
      throw failure("JSON parser does not support UTF-16 or UTF-32");
    this.#next();
    const value = this.#read();
    this.#next();
    if (this.#kind !== "T_END") throw this.#unexpected("the end");
    return value;
  }

  #unexpected(expected: string) {
    return failure(`Expected ${expected} but found ${this.#kind} at character ${this.#start + 1}`);
  }

  #expect(kind: Kind, name: string): void {
    if (this.#kind !== kind) throw this.#unexpected(name);
  }

  #read(): LuaValue {
    switch (this.#kind) {
      case "T_STRING":
      case "T_NUMBER":
      case "T_BOOLEAN":
      case "T_NULL":
        return this.#value;
      case "T_OBJ_BEGIN":
        return this.#object();
      case "T_ARR_BEGIN":
        return this.#array();
      default:
        throw this.#unexpected("value");
    }
  }

  #descend(): void {
    if (++this.#depth > this.#decoding.depthMax)
      throw failure(`Found too many nested data structures (${this.#depth}) at character ${this.#at}`);
  }

  #object(): LuaTable {
    this.#descend();
    const table = new LuaTable();
    this.#next();
    if (this.#kind !== "T_OBJ_END")
      for (;;) {
        this.#expect("T_STRING", "object key string");
        const key = this.#value as string; // of a string's token
        this.#next();
        this.#expect("T_COLON", "colon");
        this.#next();
        table.setNamed(key, this.#read());
        this.#next();
        if (this.#kind === "T_OBJ_END") break;
        if (this.#kind !== "T_COMMA") throw this.#unexpected("comma or object end");
        this.#next();
      }
    this.#depth--;
    return table;
  }

  #array(): LuaTable {
    this.#descend();
    const values: LuaValue[] = [];
    this.#next();
    if (this.#kind !== "T_ARR_END")
      for (;;) {
        values.push(this.#read());
        this.#next();
        if (this.#kind === "T_ARR_END") break;
        if (this.#kind !== "T_COMMA") throw this.#unexpected("comma or array end");
        this.#next();
      }
    this.#depth--;
    return new LuaTable(values);
  }

  #next(): void {
    const text = this.#text;
    let code = text.charCodeAt(this.#at);
    while (code === 32 || code === 10 || code === 13 || code === 9) code = text.charCodeAt(++this.#at);
    this.#start = this.#at;
    const char = text[this.#at];
    if (char === undefined || char === "\0") {
      this.#kind = char === undefined || this.#at === text.length ? "T_END" : "invalid token";
      return;
    }
    const single = SINGLE[char];
    if (single !== undefined) {
      this.#kind = single;
      this.#at++;
    } else if (char === '"') this.#string();
    else if (char === "-" || (code >= 48 && code <= 57)) this.#number();
    else if (text.startsWith("true", this.#at)) this.#word("T_BOOLEAN", true, 4);
    else if (text.startsWith("false", this.#at)) this.#word("T_BOOLEAN", false, 5);
    else if (text.startsWith("null", this.#at)) this.#word("T_NULL", this.#decoding.null, 4);
    else if (this.#decoding.invalidNumbers && /^(?:inf|nan)/i.test(text.slice(this.#at, this.#at + 3))) this.#number();
    else this.#kind = "invalid token";
  }

  #word(kind: Kind, value: LuaValue, length: number): void {
    this.#kind = kind;
    this.#value = value;
    this.#at += length;
  }

  #number(): void {
    NUMBER.lastIndex = this.#at;
    const found = NUMBER.exec(this.#text);
    const invalid = !this.#decoding.invalidNumbers && INVALID_NUMBER.test(this.#text.slice(this.#at, this.#at + 4));
    if (found === null || invalid) {
      this.#kind = "invalid number";
      return;
    }
    this.#word("T_NUMBER", numberOf(found[0]), found[0].length);
  }

  #string(): void {
    const text = this.#text;
    let value = "";
    let copied = ++this.#at;
    for (;;) {
      const code = text.charCodeAt(this.#at);
      if (code === 34) break;
      if (Number.isNaN(code) || code === 0) return this.#wrong("unexpected end of string");
      if (code !== 92) {
        this.#at++;
        continue;
      }
      value += text.slice(copied, this.#at);
      const char = text[this.#at + 1] ?? "";
      if (char === "u") {
        const unicode = this.#unicode();
        if (unicode === undefined) return this.#wrong("invalid unicode escape code");
        value += unicode;
      } else {
        const escaped = ESCAPES[char];
        if (escaped === undefined) return this.#wrong("invalid escape code");
        value += escaped;
        this.#at += 2;
      }
      copied = this.#at;
    }
    value += text.slice(copied, this.#at++);
    this.#kind = "T_STRING";
    this.#value = value;
  }

  #wrong(problem: string): void {
    this.#kind = problem;
    this.#start = this.#at;
  }

  /** `\u` and four digits, or two of them that belong together, as UTF-8. */
  #unicode(): string | undefined {
    const first = /^\\u([0-9a-fA-F]{4})/.exec(this.#text.slice(this.#at, this.#at + 6));
    if (first === null) return undefined;
    const code = Number.parseInt(first[1]!, 16);
    this.#at += 6;
    if ((code & 0xf800) !== 0xd800) return utf8(code);
    const second = /^\\u([dD][c-fC-F][0-9a-fA-F]{2})/.exec(this.#text.slice(this.#at, this.#at + 6));
    if (code >= 0xdc00 || second === null) {
      this.#at -= 6;
      return undefined;
    }
    this.#at += 6;
    return utf8((((code & 0x3ff) << 10) | (Number.parseInt(second[1]!, 16) & 0x3ff)) + 0x1_0000);
  }
}

const utf8 = (code: number): string =>
  code < 128 ? String.fromCharCode(code) : Buffer.from(String.fromCodePoint(code)).toString("latin1");
