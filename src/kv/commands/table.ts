import type { Request } from "../../wire/resp/request.ts";
import type { Command } from "./command.ts";

const BUCKETS = 4096;

/** Finds commands by the bytes of their names, in any case, without making text of them. */
export class CommandTable {
  readonly all: ReadonlyMap<string, Command>;
  readonly #buckets: (readonly Entry[] | undefined)[] = Array.from({ length: BUCKETS });

  constructor(commands: readonly Command[]) {
    this.all = new Map(commands.map((command) => [command.name, command]));
    for (const command of commands) {
      const name = Buffer.from(command.name);
      const bucket = bucketOf(name, 0, name.length);
      this.#buckets[bucket] = [...(this.#buckets[bucket] ?? []), { name, command, subcommands: subcommandsOf(command) }];
    }
  }

  /** The command that is called; of one with subcommands the subcommand, if there is such. */
  find(request: Request): Command | undefined {
    const { bytes } = request;
    const from = request.offsets[0]!;
    const length = request.lengths[0]!;
    const entries = this.#buckets[bucketOf(bytes, from, length)];
    if (entries === undefined) return undefined;
    for (const { name, command, subcommands } of entries) {
      if (!sameName(name, bytes, from, length)) continue;
      return subcommands === undefined || request.count < 2 ? command : (subcommands.get(request.word(1)) ?? command);
    }
    return undefined;
  }
}

interface Entry {
  readonly name: Buffer;
  readonly command: Command;
  readonly subcommands: ReadonlyMap<string, Command> | undefined;
}

const subcommandsOf = ({ name, subcommands }: Command): ReadonlyMap<string, Command> | undefined =>
  subcommands === undefined ? undefined : new Map(subcommands.map((command) => [command.name.slice(name.length + 1), command]));

/** First, middle and last letter and the length tell nearly all commands apart. */
function bucketOf(bytes: Uint8Array, from: number, length: number): number {
  if (length === 0) return 0;
  const first = bytes[from]! | 32;
  const middle = bytes[from + (length >> 1)]! | 32;
  const last = bytes[from + length - 1]! | 32;
  return (first * 31 * 31 + middle * 31 + last * 7 + length * 131) & (BUCKETS - 1);
}

function sameName(name: Uint8Array, bytes: Uint8Array, from: number, length: number): boolean {
  if (name.length !== length) return false;
  for (let i = 0; i < length; i++) {
    const byte = bytes[from + i]!;
    if (name[i] !== (byte >= 65 && byte <= 90 ? byte | 32 : byte)) return false;
  }
  return true;
}
