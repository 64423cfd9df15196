/** Generated code, and which line of the script each of its lines belongs to. */
export class CodeWriter {
  readonly lines: number[] = [1];
  #parts: string[] = [];
  #line = 1;

  /** What is called next belongs to this line of the script: V8 tells the line of a call, and `lines` makes the script's of it. */
  mark(line: number): void {
    if (line === this.#line) return;
    this.#line = line;
    this.#parts.push("\n");
    this.lines.push(line);
  }

  write(...texts: readonly string[]): void {
    for (const text of texts) this.#parts.push(text);
  }

  get code(): string {
    return this.#parts.join("");
  }
}

/** Variables of a function for what an expression needs twice. They live from the value's evaluation to its last use. */
export class Temporaries {
  #used = 0;
  #count = 0;

  take(): string {
    const name = `t${++this.#used}$0`; // no variable of a script has number 0
    this.#count = Math.max(this.#count, this.#used);
    return name;
  }

  release(count = 1): void {
    this.#used -= count;
  }

  /** Declares them all; `var`, as it may follow the first use. */
  get declaration(): string {
    return this.#count === 0 ? "" : `var ${Array.from({ length: this.#count }, (_, index) => `t${index + 1}$0`).join(",")};`;
  }
}
