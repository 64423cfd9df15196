/** What a command answers instead of its reply: the message is the whole line, its code first. Clients compare these texts, so they are Redis' own. */
export class CommandError extends Error {
  /** Statistics have it already: it was that of a command of a script. */
  readonly counted: boolean;

  constructor(line: string, counted = false) {
    super(line);
    this.counted = counted;
    this.name = "CommandError";
  }
}

export const wrongType = (): CommandError => new CommandError("WRONGTYPE Operation against a key holding the wrong kind of value");
export const syntaxError = (): CommandError => new CommandError("ERR syntax error");
export const notAnInteger = (): CommandError => new CommandError("ERR value is not an integer or out of range");
export const notAFloat = (): CommandError => new CommandError("ERR value is not a valid float");
export const outOfRange = (): CommandError => new CommandError("ERR index out of range");
export const noSuchKey = (): CommandError => new CommandError("ERR no such key");
export const wrongArity = (name: string): CommandError => new CommandError(`ERR wrong number of arguments for '${name}' command`);
export const OUT_OF_MEMORY = "OOM command not allowed when used memory > 'maxmemory'.";
