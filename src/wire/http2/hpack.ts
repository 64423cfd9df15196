import { decodeHuffman } from "./huffman.ts";
import { malformed } from "./malformed.ts";

/** Names are in lower case; both are one character a byte. */
export type HeaderField = readonly [name: string, value: string];

/** Far above any index, length or number that can be meant. */
const INTEGER_MAX = 2 ** 24;

/** A header block in the plainest form that the standard has: every field spelt out, nothing for the other side to remember. */
export function encodeHeaders(fields: readonly HeaderField[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [LITERAL, ...lengthAndText(name), ...lengthAndText(value)]));
}

/**
 * The fields of a whole header block. We announce a table of no entries, so that nothing has to be remembered from one block to the next.
 * Throws `rpc.internal`.
 */
export function decodeHeaders(block: Uint8Array): readonly HeaderField[] {
  const reader = new BlockReader(block);
  const fields: HeaderField[] = [];
  while (!reader.atEnd) {
    const kind = reader.peek();
    if (kind >= 0b1000_0000) fields.push(staticField(reader.integer(7)));
    else if (kind >= 0b0100_0000) fields.push(literal(reader, 6));
    else if (kind < 0b0010_0000) fields.push(literal(reader, 4));
    else if (reader.integer(5) !== 0) throw malformed("a header table larger than was allowed");
  }
  return fields;
}

function literal(reader: BlockReader, indexBits: number): HeaderField {
  const index = reader.integer(indexBits);
  const name = index === 0 ? reader.text() : staticField(index)[0];
  return [name, reader.text()];
}

function staticField(index: number): HeaderField {
  const field = STATIC_FIELDS[index - 1];
  if (field === undefined) throw malformed("a header field that is in no table", { index });
  return field;
}

class BlockReader {
  readonly #block: Uint8Array;
  #at = 0;

  constructor(block: Uint8Array) {
    this.#block = block;
  }

  get atEnd(): boolean {
    return this.#at >= this.#block.length;
  }

  peek(): number {
    const byte = this.#block[this.#at];
    if (byte === undefined) throw malformed("a header block that ends too early");
    return byte;
  }

  /** A number that begins in the lower `bits` of this byte. */
  integer(bits: number): number {
    const limit = 2 ** bits - 1;
    let value = this.#byte() & limit;
    if (value < limit) return value;
    for (let scale = 1, more = true; more; scale *= 128) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (value > INTEGER_MAX || scale > INTEGER_MAX) throw malformed("a number beyond all measure in a header block");
      more = byte >= 0x80;
    }
    return value;
  }

  text(): string {
    const coded = this.peek() >= 0x80;
    const end = this.integer(7) + this.#at;
    if (end > this.#block.length) throw malformed("a header block that ends too early");
    const bytes = this.#block.subarray(this.#at, end);
    this.#at = end;
    return coded ? decodeHuffman(bytes) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  }

  #byte(): number {
    const byte = this.peek();
    this.#at++;
    return byte;
  }
}

/** "Literal, not indexed, with a new name". */
const LITERAL = Buffer.of(0);

function lengthAndText(text: string): readonly [Buffer, Buffer] {
  const bytes = Buffer.from(text, "latin1");
  return [encodeLength(bytes.length), bytes];
}

/** In the 7 bits beside "not Huffman-coded", and as many more as it takes. */
function encodeLength(length: number): Buffer {
  if (length < 127) return Buffer.of(length);
  const bytes = [127];
  let left = length - 127;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
  return Buffer.of(...bytes, left);
}

/** The fields of RFC 7541, appendix A, that have no value there. */
const NAMES: readonly string[] = [
  "accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control",
  "content-disposition content-encoding content-language content-length content-location content-range content-type cookie",
  "date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified",
  "link location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after server set-cookie",
  "strict-transport-security transfer-encoding user-agent vary via www-authenticate",
].flatMap((line) => line.split(" "));

/** All of them. */
const STATIC_FIELDS: readonly HeaderField[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  ...["200", "204", "206", "304", "400", "404", "500"].map((status): HeaderField => [":status", status]),
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ...NAMES.map((name): HeaderField => [name, ""]),
];
