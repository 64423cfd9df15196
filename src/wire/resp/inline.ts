const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", b: "\b", a: "\x07" };
const SPACE = /\s/;

/**
 * A line as `redis-cli`, a configuration file and an inline command write it: words between spaces, in double quotes with escapes (`\n`, `\x41`), or in
 * single quotes. Undefined where quotes are not closed, or something follows them at once.
 */
export function splitInline(line: string): string[] | undefined {
  const words: string[] = [];
  let at = 0;
  for (;;) {
    while (at < line.length && (SPACE.test(line[at]!) || line[at] === "\0")) at++;
    if (at >= line.length) return words;
    let word = "";
    let quote = "";
    for (; ; at++) {
      const char = line[at];
      if (char === undefined) {
        if (quote !== "") return undefined;
        break;
      }
      if (quote === "") {
        if (SPACE.test(char) || char === "\0") break;
        if (char === '"' || char === "'") quote = char;
        else word += char;
      } else if (char === quote) {
        const after = line[at + 1];
        if (after !== undefined && !SPACE.test(after)) return undefined;
        at++;
        break;
      } else if (char === "\\" && quote === '"') {
        const hex = /^x([0-9a-fA-F]{2})/.exec(line.slice(at + 1, at + 4));
        if (hex !== null) {
          word += String.fromCharCode(Number.parseInt(hex[1]!, 16));
          at += 3;
        } else if (at + 1 < line.length) {
          at++;
          word += ESCAPES[line[at]!] ?? line[at]!;
        }
      } else if (char === "\\" && line[at + 1] === "'") {
        word += "'";
        at++;
      } else word += char;
    }
    words.push(word);
  }
}

/** A word as `splitInline` reads it, and `redis-cli` shows it: what is not printable as `\xff`. */
export function quoted(text: string): string {
  // oxlint-disable-next-line no-control-regex -- these are what is escaped
  return `"${text.replaceAll(/["\\\x00-\x1F\x7F-\xFF]/g, (char) => SHOWN[char] ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`)}"`;
}

const SHOWN: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.entries(ESCAPES).map(([letter, char]) => [char, `\\${letter}`])),
  '"': '\\"',
  "\\": "\\\\",
};
