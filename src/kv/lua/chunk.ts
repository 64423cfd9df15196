/** What is known of generated code, and stands in the name of its file, so that nobody has to keep it. */
export interface Chunk {
  /** As messages name it: `user_script`, `[string "return 1"]`. */
  readonly name: string;
  /** Line of the script for each line of the generated code. */
  readonly lines: readonly number[];
}

const PREFIX = "lua-chunk:";

export const chunkFile = ({ name, lines }: Chunk): string => PREFIX + JSON.stringify([name, ...lines]);

/** The chunk of a generated file, undefined for any other file. */
export function chunkOf(file: string | undefined): Chunk | undefined {
  if (file === undefined || !file.startsWith(PREFIX)) return undefined;
  const [name, ...lines] = JSON.parse(file.slice(PREFIX.length)) as [string, ...number[]]; // `chunkFile` has written it
  return { name, lines };
}

const SHOWN_CHARS_MAX = 45;

/** How messages name a chunk: after `@` a file, after `=` a text, anything else is the source itself. */
export function chunkName(name: string): string {
  if (name.startsWith("=")) return name.slice(1, 60);
  if (name.startsWith("@")) return name.length > 60 ? `...${name.slice(-56)}` : name.slice(1);
  const line = /^[^\r\n]*/.exec(name)![0];
  const cut = line.length < name.length || line.length > SHOWN_CHARS_MAX;
  return `[string "${cut ? `${line.slice(0, SHOWN_CHARS_MAX)}...` : line}"]`;
}
