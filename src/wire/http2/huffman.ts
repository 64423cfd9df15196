import { malformed } from "./malformed.ts";

/** Bits of each byte's code, and at last of the end mark. The code is canonical, so that the lengths say it all (RFC 7541, appendix B). */
const CODE_BITS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10,
  12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7,
  7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22,
  23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22,
  23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20,
  24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
const BITS_MAX = 30;
const END_MARK = 256;

/** Of the codes of one length: the first one, and the bytes in the order of their codes. */
interface Codes {
  readonly first: number;
  readonly symbols: readonly number[];
}

const CODES = codesOf(CODE_BITS);

/** The text behind a Huffman-coded string of a header block, one character a byte. Throws `rpc.internal` for what is no such code. */
export function decodeHuffman(coded: Uint8Array): string {
  let text = "";
  let code = 0;
  let bits = 0;
  for (const byte of coded) {
    for (let bit = 7; bit >= 0; bit--) {
      code = (code << 1) | ((byte >> bit) & 1);
      bits++;
      const symbol = symbolOf(code, bits);
      if (symbol === END_MARK) throw malformed("the end mark inside of a string");
      if (symbol === undefined) continue;
      text += String.fromCharCode(symbol);
      code = bits = 0;
    }
  }
  // The last byte is filled up with the beginning of the end mark, which is all ones.
  if (bits > 7 || code !== (1 << bits) - 1) throw malformed("a string with a broken end");
  return text;
}

function symbolOf(code: number, bits: number): number | undefined {
  if (bits > BITS_MAX) throw malformed("a code of no character");
  const { first, symbols } = CODES[bits]!; // just checked
  return symbols[code - first];
}

function codesOf(lengths: readonly number[]): readonly Codes[] {
  const symbols = Array.from({ length: BITS_MAX + 1 }, (): number[] => []);
  lengths.forEach((bits, symbol) => symbols[bits]!.push(symbol)); // no length is above the maximum
  let next = 0;
  return symbols.map((same) => {
    const first = next << 1;
    next = first + same.length;
    return { first, symbols: same };
  });
}
