const MULTIPLIER_HIGH = 0xc6a4a793 | 0;
const MULTIPLIER_LOW = 0x5bd1e995;
const SEED = 0xadc83b19 | 0;
const REGISTER_BITS = 14;
const REGISTER_MASK = (1 << REGISTER_BITS) - 1;

/**
 * What HyperLogLog needs of the MurmurHash64A (Austin Appleby) of some bytes: its lower 14 bits, the register, and above them how many of the other 50 bits are
 * zero up to and with the first that is not, at most 51. In 32-bit halves, since BigInt would take ten times as long.
 */
export function registerAndRunOf(bytes: Uint8Array, from: number, length: number): number {
  let high = (highOfProduct(length) + Math.imul(length, MULTIPLIER_HIGH)) | 0;
  let low = Math.imul(length, MULTIPLIER_LOW) ^ SEED;
  let at = from;
  for (const end = from + (length & ~7); at < end; at += 8) {
    let kLow = word(bytes, at);
    let kHigh = word(bytes, at + 4);
    kHigh = (highOfProduct(kLow) + Math.imul(kHigh, MULTIPLIER_LOW) + Math.imul(kLow, MULTIPLIER_HIGH)) | 0;
    kLow = Math.imul(kLow, MULTIPLIER_LOW);
    kLow ^= kHigh >>> 15; // by 47 bits
    high ^= (highOfProduct(kLow) + Math.imul(kHigh, MULTIPLIER_LOW) + Math.imul(kLow, MULTIPLIER_HIGH)) | 0;
    low ^= Math.imul(kLow, MULTIPLIER_LOW);
    high = (highOfProduct(low) + Math.imul(high, MULTIPLIER_LOW) + Math.imul(low, MULTIPLIER_HIGH)) | 0;
    low = Math.imul(low, MULTIPLIER_LOW);
  }
  const rest = length & 7;
  if (rest > 0) {
    for (let i = 0; i < rest; i++) {
      if (i < 4) low ^= bytes[at + i]! << (8 * i);
      else high ^= bytes[at + i]! << (8 * (i - 4));
    }
    high = (highOfProduct(low) + Math.imul(high, MULTIPLIER_LOW) + Math.imul(low, MULTIPLIER_HIGH)) | 0;
    low = Math.imul(low, MULTIPLIER_LOW);
  }
  low ^= high >>> 15;
  high = (highOfProduct(low) + Math.imul(high, MULTIPLIER_LOW) + Math.imul(low, MULTIPLIER_HIGH)) | 0;
  low = Math.imul(low, MULTIPLIER_LOW);
  low ^= high >>> 15;
  return (runOf(high, low) << REGISTER_BITS) | (low & REGISTER_MASK);
}

function runOf(high: number, low: number): number {
  const first = (low >>> REGISTER_BITS) | (high << (32 - REGISTER_BITS));
  if (first !== 0) return 1 + trailingZeros(first);
  return 33 + trailingZeros((high >>> REGISTER_BITS) | (1 << (32 - REGISTER_BITS)));
}

const trailingZeros = (value: number): number => 31 - Math.clz32(value & -value);

const word = (bytes: Uint8Array, at: number): number =>
  bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);

/** The upper 32 of the 64 bits of a 32-bit number times the multiplier's lower half. */
function highOfProduct(value: number): number {
  const a0 = value & 0xffff;
  const a1 = value >>> 16;
  const b0 = MULTIPLIER_LOW & 0xffff;
  const b1 = MULTIPLIER_LOW >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const other = a0 * b1 + (middle & 0xffff);
  return a1 * b1 + (middle >>> 16) + (other >>> 16);
}
