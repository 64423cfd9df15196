/** Hash slots of a cluster. */
export const SLOT_COUNT = 16_384;

const TABLE = crcTable();
const OPEN = 0x7b; // {
const CLOSE = 0x7d; // }

/**
 * The slot of a key: CRC-16 (XMODEM) of it, or of what stands between its first `{` and the next `}`, if anything does
 * (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#key-distribution-model).
 */
export function slotOfBytes(bytes: Uint8Array, from: number, length: number): number {
  let start = from;
  let end = from + length;
  for (let open = from; open < end; open++) {
    if (bytes[open] !== OPEN) continue;
    for (let close = open + 1; close < end; close++) {
      if (bytes[close] !== CLOSE) continue;
      if (close > open + 1) {
        start = open + 1;
        end = close;
      }
      break;
    }
    break;
  }
  let crc = 0;
  for (let at = start; at < end; at++) crc = ((crc << 8) & 0xffff) ^ TABLE[(crc >>> 8) ^ bytes[at]!]!;
  return crc & (SLOT_COUNT - 1);
}

/** Of a key as latin-1 text. */
export const slotOfKey = (key: string): number => slotOfBytes(Buffer.from(key, "latin1"), 0, key.length);

function crcTable(): Uint16Array {
  const table = new Uint16Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    table[byte] = crc;
  }
  return table;
}
