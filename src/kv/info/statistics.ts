import type { Command } from "../commands/command.ts";
import { Durations } from "./durations.ts";

/** What was measured of one command. */
export class CommandStatistics {
  calls = 0;
  /** Microseconds. */
  durationUs = 0;
  rejected = 0;
  failed = 0;
  durations: Durations | undefined;
}

/** Kinds of errors that are counted by name; what comes after is counted in the total only. */
const ERROR_KINDS_MAX = 128;

/** What INFO counts of commands, errors, connections and keys, since the start or CONFIG RESETSTAT. */
export class Statistics {
  commandsProcessed = 0;
  connectionsReceived = 0;
  connectionsRejected = 0;
  expiredKeys = 0;
  evictedKeys = 0;
  /** Large values that UNLINK has deleted. */
  lazyFreed = 0;
  evictedClients = 0;
  errorReplies = 0;
  inputBytes = 0;
  outputBytes = 0;
  readsProcessed = 0;
  writesProcessed = 0;
  aclDenied = { auth: 0, command: 0, key: 0, channel: 0 };
  readonly commands = new Map<Command, CommandStatistics>();
  /** Asked for last: as a rule the same command is asked for again. */
  #lastCommand: Command | undefined;
  #last = new CommandStatistics();
  /** By the first word of the error. */
  readonly errors = new Map<string, number>();

  of(command: Command): CommandStatistics {
    if (command === this.#lastCommand) return this.#last;
    let found = this.commands.get(command);
    if (found === undefined) this.commands.set(command, (found = new CommandStatistics()));
    this.#lastCommand = command;
    this.#last = found;
    return found;
  }

  ran(command: Command, durationUs: number, failed: boolean, tracked: boolean): void {
    const statistics = this.of(command);
    this.commandsProcessed++;
    statistics.calls++;
    statistics.durationUs += durationUs;
    if (failed) statistics.failed++;
    if (tracked) (statistics.durations ??= new Durations()).add(durationUs);
  }

  /** An error that a client got. */
  error(message: string): void {
    this.errorReplies++;
    const space = message.indexOf(" ");
    const kind = space < 0 ? message : message.slice(0, space);
    if (this.errors.has(kind) || this.errors.size < ERROR_KINDS_MAX) this.errors.set(kind, (this.errors.get(kind) ?? 0) + 1);
  }
}
