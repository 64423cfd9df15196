import type { Meter } from "./meter.ts";
import { failure } from "./operations.ts";
import type { LuaValue } from "./value.ts";

const ESCAPE = 37; // %
const CAPTURES_MAX = 32;
/** Lengths of captures that have none. */
const OPEN = -1;
const POSITION = -2;
/** How deep a match may go before it fails: well within V8's stack. */
const DEPTH_MAX = 1500;

/** Lua's patterns (https://www.lua.org/manual/5.1/manual.html#5.4.1) over text of one character for a byte. */
export class Matcher {
  readonly #text: string;
  readonly #pattern: string;
  readonly #meter: Meter;
  readonly #starts: number[] = [];
  readonly #lengths: number[] = [];
  #level = 0;
  #depth = 0;

  constructor(text: string, pattern: string, meter: Meter) {
    this.#text = text;
    this.#pattern = pattern;
    this.#meter = meter;
  }

  /** Where a match that begins here ends, -1 where there is none. */
  matchAt(from: number, patternFrom: number): number {
    this.#level = 0;
    this.#depth = 0;
    return this.#match(from, patternFrom);
  }

  get captureCount(): number {
    return this.#level;
  }

  /** A capture of the last match; the whole match where the pattern has none. */
  capture(index: number, from: number, to: number): LuaValue {
    if (index >= this.#level) {
      if (index === 0) return this.#text.slice(from, to);
      throw failure("invalid capture index");
    }
    const start = this.#starts[index]!;
    const length = this.#lengths[index]!;
    if (length === POSITION) return start + 1;
    if (length === OPEN) throw failure("unfinished capture");
    return this.#text.slice(start, start + length);
  }

  /** All captures; the whole match where the pattern has none. */
  captures(from: number, to: number): LuaValue[] {
    const values: LuaValue[] = [];
    for (let index = 0; index < Math.max(1, this.#level); index++) values.push(this.capture(index, from, to));
    return values;
  }

  #match(from: number, patternFrom: number): number {
    if (++this.#depth > DEPTH_MAX) throw failure("pattern too complex");
    const end = this.#matchHere(from, patternFrom);
    this.#depth--;
    return end;
  }

  #matchHere(from: number, patternFrom: number): number {
    const pattern = this.#pattern;
    let at = from;
    let p = patternFrom;
    for (;;) {
      if (--this.#meter.left < 0) this.#meter.tick();
      if (p === pattern.length) return at;
      switch (pattern.charAt(p)) {
        case "(":
          return pattern[p + 1] === ")" ? this.#open(at, p + 2, POSITION) : this.#open(at, p + 1, OPEN);
        case ")":
          return this.#close(at, p + 1);
        case "%":
          if (pattern[p + 1] === "b") {
            at = this.#balance(at, p + 2);
            if (at < 0) return -1;
            p += 4;
            continue;
          }
          if (pattern[p + 1] === "f") {
            p += 2;
            if (pattern[p] !== "[") throw failure("missing '[' after '%f' in pattern");
            const end = this.#classEnd(p);
            const before = at === 0 ? 0 : this.#text.charCodeAt(at - 1);
            const after = at < this.#text.length ? this.#text.charCodeAt(at) : 0;
            if (this.#inSet(before, p, end - 1) || !this.#inSet(after, p, end - 1)) return -1;
            p = end;
            continue;
          }
          if (isDigit(pattern.charCodeAt(p + 1))) {
            const length = this.#captured(at, pattern.charCodeAt(p + 1));
            if (length < 0) return -1;
            at += length;
            p += 2;
            continue;
          }
          break;
        case "$":
          if (p + 1 === pattern.length) return at === this.#text.length ? at : -1;
          break;
      }
      const end = this.#classEnd(p);
      switch (pattern.charAt(end)) {
        case "?": {
          if (this.#single(at, p, end)) {
            const found = this.#match(at + 1, end + 1);
            if (found >= 0) return found;
          }
          p = end + 1;
          continue;
        }
        case "*":
          return this.#most(at, p, end, 0);
        case "+":
          return this.#most(at, p, end, 1);
        case "-":
          return this.#least(at, p, end);
        default:
          if (!this.#single(at, p, end)) return -1;
          at++;
          p = end;
      }
    }
  }

  #open(at: number, p: number, length: number): number {
    if (this.#level >= CAPTURES_MAX) throw failure("too many captures");
    this.#starts[this.#level] = at;
    this.#lengths[this.#level++] = length;
    const end = this.#match(at, p);
    if (end < 0) this.#level--;
    return end;
  }

  #close(at: number, p: number): number {
    let index = this.#level - 1;
    while (index >= 0 && this.#lengths[index] !== OPEN) index--;
    if (index < 0) throw failure("invalid pattern capture");
    this.#lengths[index] = at - this.#starts[index]!;
    const end = this.#match(at, p);
    if (end < 0) this.#lengths[index] = OPEN;
    return end;
  }

  #balance(at: number, p: number): number {
    if (p + 1 >= this.#pattern.length) throw failure("unbalanced pattern");
    const open = this.#pattern[p];
    const close = this.#pattern[p + 1];
    if (this.#text[at] !== open) return -1;
    let depth = 1;
    for (let i = at + 1; i < this.#text.length; i++) {
      const char = this.#text[i];
      if (char === close) {
        if (--depth === 0) return i + 1;
      } else if (char === open) depth++;
    }
    return -1;
  }

  /** Length of what an earlier capture holds, where it stands here too; -1 where not. */
  #captured(at: number, digit: number): number {
    const index = digit - 49;
    if (index < 0 || index >= this.#level || this.#lengths[index] === OPEN) throw failure("invalid capture index");
    const length = Math.max(0, this.#lengths[index]!);
    const start = this.#starts[index]!;
    return this.#text.startsWith(this.#text.slice(start, start + length), at) ? length : -1;
  }

  #most(at: number, p: number, end: number, least: number): number {
    let count = 0;
    while (this.#single(at + count, p, end)) count++;
    this.#meter.charge(count * 16);
    for (; count >= least; count--) {
      const found = this.#match(at + count, end + 1);
      if (found >= 0) return found;
    }
    return -1;
  }

  #least(from: number, p: number, end: number): number {
    for (let at = from; ; at++) {
      const found = this.#match(at, end + 1);
      if (found >= 0) return found;
      if (!this.#single(at, p, end)) return -1;
    }
  }

  /** The end of the single item that begins here. */
  #classEnd(from: number): number {
    const pattern = this.#pattern;
    let p = from + 1;
    if (pattern[from] === "%") {
      if (p >= pattern.length) throw failure("malformed pattern (ends with '%')");
      return p + 1;
    }
    if (pattern[from] !== "[") return p;
    if (pattern[p] === "^") p++;
    do {
      if (p >= pattern.length) throw failure("malformed pattern (missing ']')");
      if (pattern[p++] === "%" && p < pattern.length) p++;
    } while (pattern[p] !== "]");
    return p + 1;
  }

  #single(at: number, p: number, end: number): boolean {
    if (at >= this.#text.length) return false;
    const code = this.#text.charCodeAt(at);
    switch (this.#pattern.charAt(p)) {
      case ".":
        return true;
      case "%":
        return inClass(code, this.#pattern.charCodeAt(p + 1));
      case "[":
        return this.#inSet(code, p, end - 1);
      default:
        return this.#pattern.charCodeAt(p) === code;
    }
  }

  /** Whether a set has it, from its `[` to its `]`. */
  #inSet(code: number, from: number, to: number): boolean {
    const pattern = this.#pattern;
    let p = from + 1;
    const wanted = pattern[p] !== "^";
    if (!wanted) p++;
    for (; p < to; p++) {
      if (pattern.charCodeAt(p) === ESCAPE) {
        p++;
        if (inClass(code, pattern.charCodeAt(p))) return wanted;
      } else if (pattern[p + 1] === "-" && p + 2 < to) {
        if (pattern.charCodeAt(p) <= code && code <= pattern.charCodeAt(p + 2)) return wanted;
        p += 2;
      } else if (pattern.charCodeAt(p) === code) return wanted;
    }
    return !wanted;
  }
}

const isDigit = (code: number): boolean => code >= 48 && code <= 57;
const isLower = (code: number): boolean => code >= 97 && code <= 122;
const isUpper = (code: number): boolean => code >= 65 && code <= 90;
const isLetter = (code: number): boolean => isLower(code | 32);
const isControl = (code: number): boolean => code < 32 || code === 127;
const isVisible = (code: number): boolean => code > 32 && code < 127;

/** Whether a character is of the class that `%` and this letter name; of any other character, whether it is that one. */
function inClass(code: number, letter: number): boolean {
  let found: boolean;
  switch (letter | 32) {
    case 97: // a
      found = isLetter(code);
      break;
    case 99: // c
      found = isControl(code);
      break;
    case 100: // d
      found = isDigit(code);
      break;
    case 108: // l
      found = isLower(code);
      break;
    case 112: // p
      found = isVisible(code) && !isLetter(code) && !isDigit(code);
      break;
    case 115: // s
      found = code === 32 || (code >= 9 && code <= 13);
      break;
    case 117: // u
      found = isUpper(code);
      break;
    case 119: // w
      found = isLetter(code) || isDigit(code);
      break;
    case 120: // x
      found = isDigit(code) || (isLetter(code) && (code | 32) <= 102);
      break;
    case 122: // z
      found = code === 0;
      break;
    default:
      return letter === code;
  }
  if (!isLetter(letter)) return letter === code;
  return isUpper(letter) ? !found : found;
}
