import { chunkOf } from "./chunk.ts";
import type { LuaValue } from "./value.ts";

/** Enough for the innermost function of a script, whatever of ours lies above it. */
const FRAMES_MAX = 40;
/** Functions of ours that call functions of a script: levels of their own, without a line. */
const CALLERS: ReadonlySet<string | null> = new Set([
  "luaPcall",
  "luaXpcall",
  "luaSort",
  "luaGsub",
  "luaResume",
  "luaForeach",
  "luaTostring",
]);

/** What a script throws, and what is thrown at it: any value. */
export class LuaError extends Error {
  #value: LuaValue;
  #level: number;
  #frames: readonly Frame[] | undefined;

  /** A text at a level is led by the place of the function there: 1 is the innermost function of the script. */
  constructor(value: LuaValue, level = 0) {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = FRAMES_MAX;
    super();
    Error.stackTraceLimit = limit;
    this.#value = value;
    this.#level = level;
  }

  get value(): LuaValue {
    if (this.#level > 0 && typeof this.#value === "string") {
      const frame = this.frames[this.#level - 1];
      if (frame?.line !== undefined) this.#value = `${frame.source}:${frame.line}: ${this.#value}`;
    }
    this.#level = 0;
    return this.#value;
  }

  override get message(): string {
    return typeof this.value === "string" ? this.value : "error object is not a string";
  }

  /** Where the script was, innermost first. */
  get frames(): readonly Frame[] {
    return (this.#frames ??= framesOf(this));
  }
}

/** A script that its user has stopped, or that took too much memory: no `pcall` holds it. */
export class ScriptStopped extends Error {}

export interface Frame {
  /** As messages name the chunk. */
  readonly source: string;
  /** Undefined in functions that are not the script's. */
  readonly line: number | undefined;
}

/** The generated functions lie in files named after their chunk, and lines of those map to lines of the script. */
function framesOf(error: Error): readonly Frame[] {
  const prepare = Error.prepareStackTrace;
  let frames: Frame[] = [];
  Error.prepareStackTrace = (_, sites) => {
    frames = sites.flatMap((site) => {
      const chunk = chunkOf(site.getFileName() ?? undefined);
      if (chunk !== undefined) return [{ source: chunk.name, line: chunk.lines[(site.getLineNumber() ?? 1) - 1] }];
      return CALLERS.has(site.getFunctionName()) ? [{ source: "=[C]", line: undefined }] : [];
    });
    return "";
  };
  try {
    void error.stack;
  } finally {
    Error.prepareStackTrace = prepare;
  }
  return frames;
}

/** What came up through a script, as the error that it is to Lua. Whatever is none is thrown on. */
export function luaErrorOf(thrown: unknown): LuaError {
  if (thrown instanceof LuaError) return thrown;
  // V8's own limits: depth of calls, arguments of a call, length of a string.
  if (thrown instanceof RangeError) return new LuaError(/string length/.test(thrown.message) ? "not enough memory" : "stack overflow", 1);
  throw thrown;
}
