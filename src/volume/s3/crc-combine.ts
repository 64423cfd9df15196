import type { ChecksumName } from "./checksum.ts";

/** Width and reflected polynomial. */
const CRCS: Readonly<Partial<Record<ChecksumName, readonly [bits: number, polynomial: bigint]>>> = {
  CRC32: [32, 0xedb88320n],
  CRC32C: [32, 0x82f63b78n],
  CRC64NVME: [64, 0x9a6c9329ac4bc9b5n],
};

/** A matrix over bits: the image of each. */
type Matrix = readonly bigint[];

const operators = new Map<ChecksumName, Matrix[]>();

/** The CRC of two contents, one after the other, from those of each; undefined for what is no CRC. All three begin and end with all bits turned. */
export function combineCrc(
  name: ChecksumName,
  before: Buffer,
  after: { readonly crc: Buffer; readonly bytes: number },
): Buffer | undefined {
  const crc = CRCS[name];
  if (crc === undefined) return undefined;
  const [bits, polynomial] = crc;
  let value = numberOf(before);
  for (let power = 0, left = after.bytes; left > 0; power++, left = Math.floor(left / 2)) {
    if (left % 2 === 1) value = times(operatorOf(name, { bits, polynomial, power }), value);
  }
  return Buffer.from((value ^ numberOf(after.crc)).toString(16).padStart(bits / 4, "0"), "hex");
}

export const isCrc = (name: ChecksumName): boolean => CRCS[name] !== undefined;

/** What 2^power bytes of zeros do to a CRC. */
function operatorOf(
  name: ChecksumName,
  { bits, polynomial, power }: { readonly bits: number; readonly polynomial: bigint; readonly power: number },
): Matrix {
  let known = operators.get(name);
  if (known === undefined) {
    const bit: Matrix = Array.from({ length: bits }, (_, index) => (index === 0 ? polynomial : 1n << BigInt(index - 1)));
    known = [squared(squared(squared(bit)))];
    operators.set(name, known);
  }
  while (known.length <= power) known.push(squared(known.at(-1)!)); // it has one
  return known[power]!; // just made
}

const squared = (matrix: Matrix): Matrix => matrix.map((row) => times(matrix, row));

function times(matrix: Matrix, vector: bigint): bigint {
  let sum = 0n;
  for (let index = 0, left = vector; left > 0n; index++, left >>= 1n) if (left & 1n) sum ^= matrix[index]!; // as many rows as bits
  return sum;
}

const numberOf = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString("hex")}`);
