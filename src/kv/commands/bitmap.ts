import { popcount } from "../../base/popcount.ts";
import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { integerAt, safeIntegerIn } from "../numbers.ts";
import { keyAt, keysFrom, type Command } from "./command.ts";

const OFFSET_ERROR = "ERR bit offset is not an integer or out of range";
const EMPTY = Buffer.alloc(0);

/** Where a bit lies. Throws where that is beyond what a string may have. With `unit` above 0, `#n` stands for n such units. */
export function bitOffsetAt(client: Client, request: Request, index: number, unit = 0): number {
  const [from, length] = [request.offsets[index]!, request.lengths[index]!];
  const counted = unit > 0 && request.bytes[from] === HASH;
  const number = safeIntegerIn(request.bytes, counted ? from + 1 : from, counted ? length - 1 : length);
  const offset = counted ? number * unit : number;
  // What has more digits than such a number is out of range, too.
  if (!(offset >= 0 && offset < 8 * client.store.parameters["proto-max-bulk-len"])) throw new CommandError(OFFSET_ERROR);
  return offset;
}

const HASH = 35;

/** The string of the first key to be changed in place, made so long with zeros if it is shorter; and whether it was. */
export function bitsToWrite(client: Client, request: Request, bytesMin: number): { readonly bytes: Buffer; readonly grown: boolean } {
  const { db } = client;
  const found = client.findString(request, 1);
  const address = found === 0 ? db.setStringText(request.text(1), EMPTY) : found;
  const before = db.stringBytesOf(address);
  if (before >= bytesMin && (db.isRaw(address) || db.objectOf(address) !== undefined)) return { bytes: db.stringOf(address), grown: false };
  return { bytes: db.resizeString(address, Math.max(before, bytesMin)), grown: before < bytesMin };
}

/** The string of a key, empty where there is none. */
export function bitsToRead(client: Client, request: Request, index: number): Buffer {
  const address = client.readString(request, index);
  return address === 0 ? EMPTY : client.db.stringOf(address);
}

const setbit: Command = {
  name: "setbit",
  arity: 4,
  flags: ["write", "denyoom"],
  group: "bitmap",
  summary: "Sets a bit of a string and answers what it was.",
  since: "2.2.0",
  keys: keyAt(1, "RW", "access", "update"),
  run(client, request) {
    const offset = bitOffsetAt(client, request, 2);
    const bit = integerAt(request, 3, { min: 0, max: 1, error: "ERR bit is not an integer or out of range" });
    const at = Math.floor(offset / 8);
    const { bytes, grown } = bitsToWrite(client, request, at + 1);
    const shift = 7 - (offset % 8);
    const before = (bytes[at]! >> shift) & 1;
    if (before !== bit) bytes[at]! ^= 1 << shift;
    if (grown || before !== bit) client.wrote(request, 1, "$", "setbit");
    client.reply.integer(before);
  },
};

const getbit: Command = {
  name: "getbit",
  arity: 3,
  flags: ["readonly", "fast"],
  group: "bitmap",
  summary: "A bit of a string.",
  since: "2.2.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const offset = bitOffsetAt(client, request, 2);
    const byte = bitsToRead(client, request, 1)[Math.floor(offset / 8)] ?? 0;
    client.reply.integer((byte >> (7 - (offset % 8))) & 1);
  },
};

/** The bits of a range, `from` up to, not including, `to`; the same where it is empty. */
interface BitRange {
  readonly from: number;
  readonly to: number;
}

/** Of `start end [BYTE|BIT]` at this index; without them all. Throws before the key is looked at. */
function bitRangeAt(request: Request, index: number): (bytes: number) => BitRange {
  if (request.count <= index) return (bytes) => ({ from: 0, to: 8 * bytes });
  const start = integerAt(request, index);
  const end = request.count > index + 1 ? integerAt(request, index + 1) : -1;
  const unit = request.count > index + 2 ? request.word(index + 2) : "byte";
  if ((unit !== "byte" && unit !== "bit") || request.count > index + 3) throw syntaxError();
  const bitsOfUnit = unit === "bit" ? 1 : 8;
  return (bytes) => {
    const size = (8 / bitsOfUnit) * bytes;
    const from = start < 0 ? Math.max(0, size + start) : start;
    const to = Math.min(size - 1, end < 0 ? Math.max(0, size + end) : end);
    const empty = from > to || (start < 0 && end < 0 && start > end);
    return empty ? { from: 0, to: 0 } : { from: from * bitsOfUnit, to: (to + 1) * bitsOfUnit };
  };
}

const bitcount: Command = {
  name: "bitcount",
  arity: -2,
  flags: ["readonly"],
  group: "bitmap",
  summary: "How many bits of a string are set.",
  since: "2.6.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    if (request.count === 3) throw syntaxError();
    const rangeOf = bitRangeAt(request, 2);
    const bytes = bitsToRead(client, request, 1);
    const { from, to } = rangeOf(bytes.length);
    client.reply.integer(countOnes(bytes, from, to));
  },
};

function countOnes(bytes: Buffer, from: number, to: number): number {
  if (from === to) return 0;
  const first = Math.floor(from / 8);
  const last = Math.floor((to - 1) / 8);
  const firstMask = 0xff >> (from % 8);
  const lastMask = 0xff << (7 - ((to - 1) % 8));
  if (first === last) return popcount(bytes[first]! & firstMask & lastMask);
  let ones = popcount(bytes[first]! & firstMask) + popcount(bytes[last]! & lastMask & 0xff);
  let at = first + 1;
  for (; at + 4 <= last; at += 4) ones += popcount(bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
  for (; at < last; at++) ones += popcount(bytes[at]!);
  return ones;
}

const bitpos: Command = {
  name: "bitpos",
  arity: -3,
  flags: ["readonly"],
  group: "bitmap",
  summary: "Where the first bit that is set, or clear, lies.",
  since: "2.8.7",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const bit = integerAt(request, 2);
    if (bit !== 0 && bit !== 1) throw new CommandError("ERR The bit argument must be 1 or 0.");
    const rangeOf = bitRangeAt(request, 3);
    const address = client.readString(request, 1);
    if (address === 0) return client.reply.integer(bit === 1 ? -1 : 0);
    const bytes = client.db.stringOf(address);
    const { from, to } = rangeOf(bytes.length);
    const found = from === to ? -1 : positionOf(bytes, bit, from, to);
    // Without an end a string is as if zeros followed it.
    client.reply.integer(found < 0 && bit === 0 && from < to && request.count <= 4 ? to : found);
  },
};

/** -1 where no bit of the range is that. */
function positionOf(bytes: Buffer, bit: number, from: number, to: number): number {
  const skipped = bit === 1 ? 0 : 0xff;
  let at = from;
  while (at < to) {
    if (at % 8 === 0 && bytes[at / 8] === skipped) at += 8;
    else if (((bytes[Math.floor(at / 8)]! >> (7 - (at % 8))) & 1) === bit) return at;
    else at++;
  }
  return -1;
}

type BitOperation = (a: number, b: number) => number;

const NOT: BitOperation = (a) => ~a;
const OPERATIONS: ReadonlyMap<string, BitOperation> = new Map<string, BitOperation>([
  ["and", (a, b) => a & b],
  ["or", (a, b) => a | b],
  ["xor", (a, b) => a ^ b],
  ["not", NOT],
]);

const bitop: Command = {
  name: "bitop",
  arity: -4,
  flags: ["write", "denyoom"],
  group: "bitmap",
  summary: "Sets a key to what an operation makes of the bits of strings.",
  since: "2.6.0",
  keys: [...keyAt(2, "OW", "update"), ...keysFrom(3, 1, "RO", "access")],
  run(client, request) {
    const operation = OPERATIONS.get(request.word(1));
    if (operation === undefined) throw syntaxError();
    if (operation === NOT && request.count !== 4) throw new CommandError("ERR BITOP NOT must be called with a single source key.");
    const sources: Buffer[] = [];
    for (let i = 3; i < request.count; i++) sources.push(bitsToRead(client, request, i));
    const result = combined(operation, sources);
    if (result.length > 0) {
      client.db.setStringText(request.text(2), result);
      client.wrote(request, 2, "$", "set");
    } else {
      const address = client.db.find(request, 2);
      if (address !== 0) client.removed(request, 2, address);
    }
    client.reply.integer(result.length);
  },
};

/** As long as the longest; the others are as if zeros followed them. */
function combined(operation: BitOperation, [first, ...others]: readonly Buffer[]): Buffer {
  const length = Math.max(first!.length, ...others.map((bytes) => bytes.length)); // there is at least one
  const result = Buffer.alloc(length);
  result.set(first!);
  if (operation === NOT) for (let i = 0; i < length; i++) result[i] = ~result[i]!;
  for (const bytes of others) for (let i = 0; i < length; i++) result[i] = operation(result[i]!, bytes[i] ?? 0);
  return result;
}

export const BITMAP_COMMANDS: readonly Command[] = [bitcount, bitop, bitpos, getbit, setbit];
