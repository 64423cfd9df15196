import { badArgument, integerAt, numberAt, stringAt } from "./arguments.ts";
import { failure } from "./operations.ts";
import { exponentialText, fixedText, generalText, type LuaValue } from "./value.ts";

const DIRECTIVE = /%([-+ #0]*)(\d*)(?:(\.)(\d*))?([\s\S]?)/y;
const FLAGS_MAX = 5;

interface Directive {
  readonly flags: string;
  readonly width: number;
  /** Undefined: none given. */
  readonly precision: number | undefined;
  readonly conversion: string;
}

/** `string.format`: C's `printf` of this template. The first value is at index 1. */
export function format(args: readonly LuaValue[]): string {
  const template = stringAt(args, 0, "format");
  let text = "";
  let index = 0;
  for (let at = 0; at < template.length;) {
    const next = template.indexOf("%", at);
    if (next < 0) return text + template.slice(at);
    text += template.slice(at, next);
    if (template[next + 1] === "%") {
      text += "%";
      at = next + 2;
      continue;
    }
    DIRECTIVE.lastIndex = next;
    const found = DIRECTIVE.exec(template)!; // it begins with `%`, and all else may be missing
    at = next + found[0].length;
    text += formatted(args, ++index, directiveOf(found));
  }
  return text;
}

function directiveOf(found: RegExpExecArray): Directive {
  const [, flags = "", width = "", point, precision = "", conversion = ""] = found;
  if (flags.length >= FLAGS_MAX + 1) throw failure("invalid format (repeated flags)");
  if (width.length > 2 || precision.length > 2) throw failure("invalid format (width or precision too long)");
  return { flags, width: Number(width), precision: point === undefined ? undefined : Number(precision), conversion };
}

function formatted(args: readonly LuaValue[], index: number, directive: Directive): string {
  const { conversion, precision } = directive;
  if (index >= args.length && /[cdiouxXeEfgGqs]/.test(conversion)) throw badArgument(index, "format", "no value");
  switch (conversion) {
    case "c":
      return padded(String.fromCharCode(integerAt(args, index, "format") & 255), { ...directive, flags: directive.flags.replace("0", "") });
    case "d":
    case "i":
      return integer(BigInt.asIntN(64, wholeOf(numberAt(args, index, "format"))), directive);
    case "u":
      return integer(BigInt.asUintN(64, wholeOf(numberAt(args, index, "format"))), {
        ...directive,
        flags: directive.flags.replaceAll(/[+ ]/g, ""),
      });
    case "o":
    case "x":
    case "X":
      return unsigned(BigInt.asUintN(64, wholeOf(numberAt(args, index, "format"))), directive);
    case "e":
    case "E":
    case "f":
    case "g":
    case "G":
      return float(numberAt(args, index, "format"), directive);
    case "q":
      return quoted(stringAt(args, index, "format"));
    case "s": {
      const text = stringAt(args, index, "format");
      return padded(precision === undefined ? text : text.slice(0, precision), { ...directive, flags: directive.flags.replace("0", "") });
    }
    default:
      throw failure(`invalid option '%${conversion}' to 'format'`);
  }
}

/** As C converts a double to 64 bits; what does not fit becomes the smallest. */
const wholeOf = (value: number): bigint => (Math.abs(value) < 2 ** 64 ? BigInt(Math.trunc(value)) : -(2n ** 63n));

function padded(text: string, { flags, width }: Directive, sign = ""): string {
  const missing = width - sign.length - text.length;
  if (missing <= 0) return sign + text;
  if (flags.includes("-")) return sign + text + " ".repeat(missing);
  return flags.includes("0") ? sign + "0".repeat(missing) + text : " ".repeat(missing) + sign + text;
}

const signOf = (negative: boolean, flags: string): string => (negative ? "-" : flags.includes("+") ? "+" : flags.includes(" ") ? " " : "");

function integer(value: bigint, directive: Directive): string {
  return digitsPadded(String(value < 0n ? -value : value), directive, signOf(value < 0n, directive.flags));
}

function unsigned(value: bigint, directive: Directive): string {
  const { conversion, flags } = directive;
  const digits = conversion === "o" ? value.toString(8) : value.toString(16);
  const prefix = !flags.includes("#") || value === 0n ? "" : conversion === "o" ? "0" : `0${conversion}`;
  return digitsPadded(conversion === "X" ? digits.toUpperCase() : digits, directive, prefix);
}

/** With a precision zeros are those of the precision alone. */
function digitsPadded(digits: string, directive: Directive, sign: string): string {
  const { precision, flags } = directive;
  if (precision === undefined) return padded(digits, directive, sign);
  const text = precision === 0 && digits === "0" ? "" : digits.padStart(precision, "0");
  return padded(text, { ...directive, flags: flags.replace("0", "") }, sign);
}

function float(value: number, directive: Directive): string {
  const { conversion, precision = 6, flags } = directive;
  const negative = value < 0 || Object.is(value, -0) || Number.isNaN(value);
  const sign = signOf(negative, flags);
  const size = Math.abs(value);
  if (!Number.isFinite(value)) {
    const text = Number.isNaN(value) ? "nan" : "inf";
    return padded(/[A-Z]/.test(conversion) ? text.toUpperCase() : text, { ...directive, flags: flags.replace("0", "") }, sign);
  }
  let text: string;
  if (conversion === "f") text = fixedText(size, precision);
  else if (conversion === "e" || conversion === "E") text = exponentialText(size, precision).replace(/e([+-])(\d)$/, "e$10$2");
  else text = generalText(size, precision === 0 ? 1 : precision, flags.includes("#"));
  if (flags.includes("#") && !text.includes(".")) text = text.replace(/(e|$)/, ".$1");
  return padded(conversion === "E" || conversion === "G" ? text.toUpperCase() : text, directive, sign);
}

/** So that Lua reads it back. */
const quoted = (text: string): string =>
  `"${text.replaceAll(/["\\\n\r\0]/g, (char) => (char === "\r" ? "\\r" : char === "\0" ? "\\000" : `\\${char}`))}"`;
