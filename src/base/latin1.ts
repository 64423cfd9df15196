/** What `toString("latin1")` and `write(…, "latin1")` call once they have looked at the name of the encoding: a third of the time of short texts. */
interface Latin1Buffer {
  latin1Slice(from: number, to: number): string;
  latin1Write(text: string, at: number): number;
}

/** One character for each byte, so that text can hold any bytes. */
export const latin1Of = (bytes: Buffer, from = 0, to = bytes.length): string => (bytes as unknown as Latin1Buffer).latin1Slice(from, to);

/** Writes one byte for each character, as many as there is room for; how many that were. */
export const writeLatin1 = (bytes: Buffer, text: string, at = 0): number => (bytes as unknown as Latin1Buffer).latin1Write(text, at);
