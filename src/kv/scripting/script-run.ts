import type { Client } from "../clients/client.ts";

/** What a script says of itself in its first line, and a function when it is registered. */
export const SCRIPT_FLAGS = ["no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys"] as const;
export type ScriptFlag = (typeof SCRIPT_FLAGS)[number];

/** A script, or a function of a library, as it may be called. */
export interface Callable {
  /** The digest of a script, the name of a function: as errors name it. */
  readonly name: string;
  readonly kind: "script" | "function";
  /** Undefined: a script as before Redis 7, of which nothing is known. */
  readonly flags: ReadonlySet<ScriptFlag> | undefined;
}

/** One that runs. */
export interface ScriptRun extends Callable {
  readonly caller: Client;
  readonly readOnly: boolean;
  readonly mayUseMemory: boolean;
  /** More memory than allowed was used when it began. */
  readonly outOfMemory: boolean;
  /** Monotonic milliseconds. */
  readonly startedMs: number;
  /** It has called a command that writes: it cannot be killed any more, nor refused anything. */
  wrote: boolean;
  killed: boolean;
  /** Of the keys that it has used, in a cluster; -1: it may use those of several, undefined: none yet. */
  slot: number | undefined;
  /** Others are answered that it runs; undefined: not yet. */
  busy: { readonly command: readonly string[] } | undefined;
}
