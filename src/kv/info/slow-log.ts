import type { Request } from "../../wire/resp/request.ts";

const ARGUMENTS_MAX = 32;
const ARGUMENT_CHARS_MAX = 128;

export interface SlowCommand {
  readonly id: number;
  /** Unix seconds. */
  readonly at: number;
  readonly durationUs: number;
  readonly arguments: readonly string[];
  readonly address: string;
  readonly name: string;
}

/** The last commands that took long, newest first. */
export class SlowLog {
  #entries: SlowCommand[] = [];
  #nextId = 0;

  get entries(): readonly SlowCommand[] {
    return this.#entries;
  }

  add(entry: Omit<SlowCommand, "id">, max: number): void {
    this.#entries.unshift({ id: this.#nextId++, ...entry });
    this.limit(max);
  }

  limit(max: number): void {
    if (this.#entries.length > max) this.#entries.length = max;
  }

  clear(): void {
    this.#entries = [];
  }
}

/** A command as it is shown: not longer than somebody reads, and without what is secret. */
export function shownArguments(request: Request, secret: ReadonlySet<number> | undefined): string[] {
  const count = Math.min(request.count, ARGUMENTS_MAX);
  return Array.from({ length: count }, (_, index) => {
    if (request.count > ARGUMENTS_MAX && index === ARGUMENTS_MAX - 1) return `... (${request.count - ARGUMENTS_MAX + 1} more arguments)`;
    if (secret?.has(index) === true) return "(redacted)";
    const text = request.text(index);
    const more = text.length - ARGUMENT_CHARS_MAX;
    return more > 0 ? `${text.slice(0, ARGUMENT_CHARS_MAX)}... (${more} more bytes)` : text;
  });
}
