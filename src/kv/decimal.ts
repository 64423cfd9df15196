import { CommandError } from "./command-error.ts";

/** Digits after the point that `INCRBYFLOAT` answers at most. */
const FRACTION_DIGITS = 17;
const DECIMAL = /^([+-]?)(\d*)\.?(\d*)(?:[eE]([+-]?\d+))?$/;
/** Beyond it a double is 0 or infinite. */
const EXPONENT_MAX = 400;

/**
 * The sum of two numbers as texts, which `doubleOf` must have found good: exact, rounded half to even at 17 digits after the point, without zeros at its end. Redis adds as
 * 80-bit numbers and prints so many digits, which is the same while 64 bits hold the sum. Throws where it is no finite double.
 */
export function decimalSum(a: string, b: string): string {
  const [left, right] = [parsed(a), parsed(b)];
  const scale = Math.max(left.scale, right.scale, FRACTION_DIGITS);
  const sum = scaled(left, scale) + scaled(right, scale);
  const text = textOf(roundedHalfEven(sum, 10n ** BigInt(scale - FRACTION_DIGITS)));
  if (!Number.isFinite(Number(text))) throw notFinite();
  return text;
}

/** `units` times 10 to the power of `-scale`. */
interface Decimal {
  readonly units: bigint;
  readonly scale: number;
}

function parsed(text: string): Decimal {
  const found = DECIMAL.exec(text);
  if (found === null) {
    // Hexadecimal, or infinite.
    const value = Number(text.replace(/^[+-]/, ""));
    if (!Number.isFinite(value)) throw notFinite();
    return { units: BigInt(value) * (text.startsWith("-") ? -1n : 1n), scale: 0 };
  }
  const [, sign, whole = "", fraction = "", exponent = "0"] = found;
  const units = BigInt(`${whole}${fraction}`) * (sign === "-" ? -1n : 1n);
  const scale = fraction.length - Number(exponent);
  if (units === 0n || scale > EXPONENT_MAX + whole.length + fraction.length) return { units: 0n, scale: 0 };
  return scale >= 0 ? { units, scale } : { units: units * 10n ** BigInt(-scale), scale: 0 };
}

const scaled = ({ units, scale }: Decimal, to: number): bigint => units * 10n ** BigInt(to - scale);

function roundedHalfEven(value: bigint, divisor: bigint): bigint {
  const quotient = value / divisor;
  const twice = 2n * (value < 0n ? -(value % divisor) : value % divisor);
  const up = twice > divisor || (twice === divisor && quotient % 2n !== 0n);
  return up ? quotient + (value < 0n ? -1n : 1n) : quotient;
}

/** Of so many units of the last digit. */
function textOf(units: bigint): string {
  const digits = String(units < 0n ? -units : units).padStart(FRACTION_DIGITS + 1, "0");
  const fraction = digits.slice(-FRACTION_DIGITS).replace(/0+$/, "");
  return `${units < 0n ? "-" : ""}${digits.slice(0, -FRACTION_DIGITS)}${fraction === "" ? "" : `.${fraction}`}`;
}

const notFinite = (): CommandError => new CommandError("ERR increment would produce NaN or Infinity");
