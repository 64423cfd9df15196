import { LuaError } from "./error.ts";
import { numberOf } from "./value.ts";

const KEYWORDS: ReadonlySet<string> = new Set(
  "and break do else elseif end false for function if in local nil not or repeat return then true until while".split(" "),
);
/** Longest first. */
const SYMBOLS = ["...", "..", "==", "~=", "<=", ">="] as const;
const ESCAPES: Readonly<Record<string, string>> = { a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" };
/** As much of a token as messages show. */
const SHOWN_CHARS_MAX = 80;

/** Kind and value: keywords and symbols are their own kind. */
export type TokenKind = string;
export const NAME = "<name>";
export const STRING = "<string>";
export const NUMBER = "<number>";
export const END = "<eof>";

/** Reads the tokens of a source, with one to look ahead (https://www.lua.org/manual/5.1/manual.html#2.1). */
export class Lexer {
  readonly #source: string;
  readonly #chunk: string;
  #at = 0;
  #line = 1;
  #ahead: { readonly kind: TokenKind; readonly value: string | number; readonly line: number; readonly text: string } | undefined;
  /** The token under way. */
  kind: TokenKind = END;
  value: string | number = "";
  line = 1;
  /** The line of the token before. */
  lineBefore = 1;
  /** As it stands in the source. */
  #text = "";

  /** `chunk` as messages name it. A first line that begins with `#` is none of Lua's. */
  constructor(source: string, chunk: string) {
    this.#source = source;
    this.#chunk = chunk;
    this.next();
  }

  next(): void {
    this.lineBefore = this.line;
    const ahead = this.#ahead;
    if (ahead === undefined) this.#read();
    else {
      this.kind = ahead.kind;
      this.value = ahead.value;
      this.line = ahead.line;
      this.#text = ahead.text;
      this.#ahead = undefined;
    }
  }

  /** The kind of the token behind the one under way. */
  peek(): TokenKind {
    const { kind, value, line } = this;
    const text = this.#text;
    this.#read();
    const found = this.kind;
    this.#ahead = { kind: found, value: this.value, line: this.line, text: this.#text };
    this.kind = kind;
    this.value = value;
    this.line = line;
    this.#text = text;
    return found;
  }

  /** A syntax error at the token under way. */
  error(message: string): LuaError {
    return this.failure(`${message} near '${this.kind === END ? END : this.#text.slice(0, SHOWN_CHARS_MAX)}'`);
  }

  failure(message: string, line = this.line): LuaError {
    return new LuaError(`${this.#chunk}:${line}: ${message}`);
  }

  #read(): void {
    this.#skip();
    this.line = this.#line;
    const from = this.#at;
    const char = this.#source[from];
    if (char === undefined) {
      this.kind = END;
      this.#text = END;
      return;
    }
    if (/[A-Za-z_]/.test(char)) this.#readName();
    else if (/[0-9]/.test(char) || (char === "." && /[0-9]/.test(this.#source[from + 1] ?? ""))) this.#readNumber();
    else if (char === '"' || char === "'") this.#readString(char);
    else if (char === "[" && this.#longLevel() >= 0) {
      this.value = this.#readLong("string");
      this.kind = STRING;
    } else {
      if (char === "[" && this.#source[from + 1] === "=") {
        this.#text = /^\[=*/.exec(this.#source.slice(from, from + SHOWN_CHARS_MAX))![0];
        throw this.failure(`invalid long string delimiter near '${this.#text}'`);
      }
      this.kind = SYMBOLS.find((symbol) => this.#source.startsWith(symbol, from)) ?? char;
      this.#at += this.kind.length;
    }
    this.#text = this.#source.slice(from, this.#at);
  }

  #readName(): void {
    const name = this.#match(/[A-Za-z0-9_]*/y);
    this.kind = KEYWORDS.has(name) ? name : NAME;
    this.value = name;
  }

  #readNumber(): void {
    const text = this.#match(/[0-9.]+(?:[Ee][+-]?)?[A-Za-z0-9_]*/y);
    const value = numberOf(text);
    if (value === undefined) throw this.failure(`malformed number near '${text}'`);
    this.kind = NUMBER;
    this.value = value;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const [text] = pattern.exec(this.#source)!;
    this.#at += text.length;
    return text;
  }

  #skip(): void {
    const source = this.#source;
    for (;;) {
      const char = source[this.#at];
      if (char === "\n" || char === "\r") this.#newLine();
      else if (char === " " || char === "\t" || char === "\f" || char === "\v") this.#at++;
      else if (char === "-" && source[this.#at + 1] === "-") {
        this.#at += 2;
        if (source[this.#at] === "[" && this.#longLevel() >= 0) this.#readLong("comment");
        else while (this.#at < source.length && source[this.#at] !== "\n" && source[this.#at] !== "\r") this.#at++;
      } else return;
    }
  }

  #newLine(): void {
    const pair = this.#source.slice(this.#at, this.#at + 2);
    this.#at += pair === "\r\n" || pair === "\n\r" ? 2 : 1;
    this.#line++;
  }

  /** How many `=` stand in the `[==[` here, -1 where there is none. */
  #longLevel(): number {
    let at = this.#at + 1;
    while (this.#source[at] === "=") at++;
    return this.#source[at] === "[" ? at - this.#at - 1 : -1;
  }

  #readLong(what: "string" | "comment"): string {
    const level = this.#longLevel();
    const from = this.#at;
    this.#at += level + 2;
    if (this.#source[this.#at] === "\n" || this.#source[this.#at] === "\r") this.#newLine();
    const close = `]${"=".repeat(level)}]`;
    const end = this.#source.indexOf(close, this.#at);
    if (end < 0) throw this.#unfinishedLong(what, from);
    let text = "";
    let copied = this.#at;
    while (this.#at < end) {
      const char = this.#source[this.#at];
      // One level of brackets within its like was how Lua 5.0 nested them; 5.1 refuses it.
      if (level === 0 && char === "[" && this.#source[this.#at + 1] === "[")
        throw this.failure("nesting of [[...]] is deprecated near '['", this.#line);
      if (char === "\n" || char === "\r") {
        text += `${this.#source.slice(copied, this.#at)}\n`;
        this.#newLine();
        copied = this.#at;
      } else this.#at++;
    }
    text += this.#source.slice(copied, end);
    this.#at = end + close.length;
    return text;
  }

  #unfinishedLong(what: string, from: number): LuaError {
    for (const char of this.#source.slice(from)) if (char === "\n") this.#line++;
    return this.failure(`unfinished long ${what} near '${END}'`, this.#line);
  }

  #readString(quote: string): void {
    const source = this.#source;
    const from = this.#at++;
    let text = "";
    for (;;) {
      const char = source[this.#at];
      if (char === undefined) throw this.failure(`unfinished string near '${END}'`, this.#line);
      if (char === "\n" || char === "\r") throw this.failure(`unfinished string near '${source.slice(from, this.#at)}'`, this.#line);
      this.#at++;
      if (char === quote) break;
      text += char === "\\" ? this.#readEscape(from) : char;
    }
    this.kind = STRING;
    this.value = text;
  }

  #readEscape(from: number): string {
    const char = this.#source[this.#at];
    if (char === undefined) return "";
    if (char === "\n" || char === "\r") {
      this.#newLine();
      return "\n";
    }
    if (!/[0-9]/.test(char)) {
      this.#at++;
      return ESCAPES[char] ?? char;
    }
    const code = Number(/^[0-9]{1,3}/.exec(this.#source.slice(this.#at, this.#at + 3))![0]);
    this.#at += /^[0-9]{1,3}/.exec(this.#source.slice(this.#at, this.#at + 3))![0].length;
    if (code > 255) throw this.failure(`escape sequence too large near '${this.#source.slice(from, this.#at)}'`, this.#line);
    return String.fromCharCode(code);
  }
}
