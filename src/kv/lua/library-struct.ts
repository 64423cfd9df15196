import { badArgument, integerAt, library, numberAt, stringAt } from "./arguments.ts";
import { STRING_BYTES_MAX, type Meter } from "./meter.ts";
import { failure } from "./operations.ts";
import type { LuaTable } from "./table.ts";
import type { LuaResult, LuaValue } from "./value.ts";

const INTEGER_BYTES_MAX = 32;
const ALIGNMENT_MAX = 8;
const INT_MAX = 2 ** 31 - 1;

interface Item {
  readonly option: string;
  readonly bytes: number;
  /** Zeros in front of it. */
  readonly padding: number;
  readonly bigEndian: boolean;
}

/** Values in C's layout (http://www.inf.puc-rio.br/~roberto/struct/), little-endian and unaligned unless the format says otherwise. */
export function createStructLibrary(meter: Meter): LuaTable {
  function pack(...args: LuaValue[]): LuaResult {
    const layout = new Layout(stringAt(args, 0, "pack"));
    args.push(undefined); // which the first one missing is, for errors
    let text = "";
    let index = 1;
    for (let item = layout.next(text.length); item !== undefined; item = layout.next(text.length)) {
      text += "\0".repeat(item.padding);
      if (item.option === "x") text += "\0";
      else if (item.option === "c" || item.option === "s") {
        const value = stringAt(args, index++, "pack");
        const bytes = item.bytes === 0 ? value.length : item.bytes;
        if (value.length < bytes) throw badArgument(index, "pack", "string too short");
        text += value.slice(0, bytes) + (item.option === "s" ? "\0" : "");
      } else text += packedNumber(numberAt(args, index++, "pack"), item);
      if (text.length > STRING_BYTES_MAX) throw failure("not enough memory", 0);
      if (--meter.left < 0) meter.tick();
    }
    meter.charge(text.length);
    return text;
  }

  function unpack(...args: LuaValue[]): LuaResult {
    const layout = new Layout(stringAt(args, 0, "unpack"));
    const data = stringAt(args, 1, "unpack");
    let at = integerAt(args, 2, "unpack", 1) - 1;
    if (!(at >= 0)) throw badArgument(2, "unpack", "offset must be 1 or greater");
    const need = (bytes: number): void => {
      if (!(at + bytes <= data.length)) throw badArgument(1, "unpack", "data string too short");
    };
    const values: LuaValue[] = [];
    for (let item = layout.next(at); item !== undefined; item = layout.next(at)) {
      at += item.padding;
      let { bytes } = item;
      need(bytes);
      if (item.option === "s") {
        const end = data.indexOf("\0", at);
        if (end < 0) throw failure("unfinished string in data");
        values.push(data.slice(at, end));
        bytes = end - at + 1;
      } else if (item.option === "c") {
        if (bytes === 0) {
          const before = values.pop();
          if (typeof before !== "number") throw failure("format 'c0' needs a previous size");
          bytes = Math.trunc(before);
          if (!(bytes >= 0)) throw badArgument(1, "unpack", "data string too short");
          need(bytes);
        }
        values.push(data.slice(at, at + bytes));
      } else if (item.option !== "x") values.push(unpackedNumber(data.slice(at, at + bytes), item));
      at += bytes;
      if (--meter.left < 0) meter.tick();
    }
    values.push(at + 1);
    return values;
  }

  return library({ pack, unpack, size });
}

/** A format, item for item. */
class Layout {
  readonly #format: string;
  #at = 0;
  #bigEndian = false;
  #alignment = 1;

  constructor(format: string) {
    // C's strings end at their first zero.
    const end = format.indexOf("\0");
    this.#format = end < 0 ? format : format.slice(0, end);
  }

  /** The next item, for so many bytes before it. */
  next(position: number): Item | undefined {
    for (;;) {
      const option = this.#format[this.#at++];
      if (option === undefined) return undefined;
      const bytes = this.#bytesOf(option);
      if (bytes === undefined) continue;
      const aligned = Math.min(bytes, this.#alignment);
      const padding = bytes === 0 || option === "c" ? 0 : (aligned - (position & (aligned - 1))) & (aligned - 1);
      return { option, bytes, padding, bigEndian: this.#bigEndian };
    }
  }

  /** Undefined: it is no item, but says how the following ones lie. */
  #bytesOf(option: string): number | undefined {
    switch (option) {
      case "b":
      case "B":
      case "x":
        return 1;
      case "h":
      case "H":
        return 2;
      case "l":
      case "L":
      case "T":
      case "d":
        return 8;
      case "f":
        return 4;
      case "s":
        return 0;
      case "c":
        return this.#number(1);
      case "i":
      case "I": {
        const bytes = this.#number(4);
        if (bytes > INTEGER_BYTES_MAX) throw failure(`integral size ${bytes} is larger than limit of ${INTEGER_BYTES_MAX}`);
        return bytes;
      }
      case " ":
        return undefined;
      case "<":
      case ">":
        this.#bigEndian = option === ">";
        return undefined;
      case "!": {
        const alignment = this.#number(ALIGNMENT_MAX);
        if (alignment <= 0 || (alignment & (alignment - 1)) !== 0) throw failure(`alignment ${alignment} is not a power of 2`);
        this.#alignment = alignment;
        return undefined;
      }
      default:
        throw badArgument(0, "pack", `invalid format option '${option}'`);
    }
  }

  #number(otherwise: number): number {
    const digits = /^[0-9]*/.exec(this.#format.slice(this.#at, this.#at + 12))![0];
    if (digits === "") return otherwise;
    const value = Number(digits);
    if (value > INT_MAX) throw failure("integral size overflow");
    this.#at += digits.length;
    return value;
  }
}

function packedNumber(value: number, { option, bytes, bigEndian }: Item): string {
  const buffer = Buffer.alloc(bytes);
  if (option === "f") buffer.writeFloatLE(value);
  else if (option === "d") buffer.writeDoubleLE(value);
  else {
    // C's 64-bit integer: bytes beyond are zeros.
    let rest = Number.isFinite(value) && Math.abs(value) < 2 ** 64 ? BigInt.asUintN(64, BigInt(Math.trunc(value))) : 2n ** 63n;
    for (let index = 0; index < bytes; index++, rest >>= 8n) buffer[index] = Number(rest & 0xffn);
  }
  return Buffer.from(bigEndian ? buffer.toReversed() : buffer).toString("latin1");
}

function unpackedNumber(text: string, { option, bytes, bigEndian }: Item): number {
  const given = Buffer.from(text, "latin1");
  const buffer = bigEndian ? Buffer.from(given.toReversed()) : given;
  if (option === "f") return buffer.readFloatLE();
  if (option === "d") return buffer.readDoubleLE();
  let value = 0n;
  for (let index = Math.min(8, bytes) - 1; index >= 0; index--) value = (value << 8n) | BigInt(buffer[index]!);
  return Number(/[a-z]/.test(option) ? BigInt.asIntN(8 * Math.min(8, bytes), value) : value);
}

function size(...args: LuaValue[]): LuaResult {
  const layout = new Layout(stringAt(args, 0, "size"));
  let at = 0;
  for (let item = layout.next(at); item !== undefined; item = layout.next(at)) {
    if (item.option === "s") throw badArgument(0, "size", "option 's' has no fixed size");
    if (item.option === "c" && item.bytes === 0) throw badArgument(0, "size", "option 'c0' has no fixed size");
    at += item.padding + item.bytes;
  }
  return at;
}
