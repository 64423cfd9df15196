import { AnaxError } from "../../../base/errors.ts";
import { quoted, splitInline } from "../../../wire/resp/inline.ts";

/** A file of the journal: what was there when it began, or the commands since. */
export interface JournalFile {
  readonly name: string;
  readonly sequence: number;
}

/** Which files make up the journal, in the order in which they are read. */
export interface Manifest {
  readonly base: JournalFile | undefined;
  readonly increments: readonly JournalFile[];
  /** Not part of it any more, and to be deleted. */
  readonly history: readonly JournalFile[];
}

export const EMPTY_MANIFEST: Manifest = { base: undefined, increments: [], history: [] };

const LINE_CHARS_MAX = 1024;

/** As Redis 7 writes it: a line for each file, `file NAME seq N type b|i|h`. Throws `disk.corrupt`. */
export function parseManifest(text: string, path: string): Manifest {
  let base: JournalFile | undefined;
  const increments: JournalFile[] = [];
  const history: JournalFile[] = [];
  if (text === "") throw new AnaxError("disk.corrupt", { path, reason: "it is empty" });
  const bad = (line: number, reason: string): AnaxError => new AnaxError("disk.corrupt", { path, line, reason });
  for (const [index, line] of text.replace(/\n$/, "").split("\n").entries()) {
    if (line.startsWith("#")) continue;
    if (line.length > LINE_CHARS_MAX) throw bad(index + 1, `a line of more than ${LINE_CHARS_MAX} characters`);
    const words = splitInline(line);
    if (words === undefined || words.length % 2 !== 0) throw bad(index + 1, "no pairs of names and values");
    const fields = new Map<string, string>();
    for (let i = 0; i + 1 < words.length; i += 2) fields.set(words[i]!.toLowerCase(), words[i + 1]!);
    const name = fields.get("file");
    const sequence = Number(fields.get("seq"));
    if (name === undefined || name === "" || /[/\\]/.test(name) || !Number.isSafeInteger(sequence) || sequence < 1)
      throw bad(index + 1, "no file with a number");
    const file = { name, sequence };
    const type = fields.get("type");
    if (type === "b") {
      if (base !== undefined) throw bad(index + 1, "a second base");
      base = file;
    } else if (type === "i") {
      if (sequence <= (increments.at(-1)?.sequence ?? 0)) throw bad(index + 1, "numbers that do not rise");
      increments.push(file);
    } else if (type === "h") history.push(file);
    else throw bad(index + 1, "an unknown type");
  }
  return { base, increments, history };
}

const line = (type: string, { name, sequence }: JournalFile): string => `file ${asWord(name)} seq ${sequence} type ${type}\n`;

export function manifestText({ base, increments, history }: Manifest): string {
  return [
    ...(base === undefined ? [] : [line("b", base)]),
    ...history.map((file) => line("h", file)),
    ...increments.map((file) => line("i", file)),
  ].join("");
}

/** Names with spaces, say, stand in quotes. */
const asWord = (name: string): string => (/^[\w.-]+$/.test(name) ? name : quoted(name));
