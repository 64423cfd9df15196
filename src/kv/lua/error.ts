import { chunkOf } from "./chunk.ts";
import type { LuaValue } from "./value.ts";

/** Enough for the innermost function of a script, however deep one of ours has gone above it. */
const FRAMES_MAX = 5000;
/** Calls functions of a script from ours: a level of its own, without a line. */
const CALLER = "luaCall";

/** What a script throws, and what is thrown at it: any value. */
export class LuaError extends Error {
  #value: LuaValue;
  #level: number;
  #frames: readonly Frame[] | undefined;

  /** A text at a level is led by the place of the function there: 1 is the innermost function of the script. `cause`: where that was, else here. */
  constructor(value: LuaValue, level = 0, cause?: Error) {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = FRAMES_MAX;
    super();
    Error.stackTraceLimit = limit;
    this.#value = value;
    this.#level = level;
    if (cause !== undefined) this.#frames = framesOf(cause);
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
export class ScriptStopped extends LuaError {}

export interface Frame {
  /** As messages name the chunk. */
  readonly source: string;
  /** Undefined in functions that are not the script's. */
  readonly line: number | undefined;
}

/** The generated functions lie in files named after their chunk, and lines of those map to lines of the script. */
function framesOf(error: Error): readonly Frame[] {
  const settings: { prepareStackTrace?: unknown } = Error;
  const before = settings.prepareStackTrace;
  let frames: Frame[] = [];
  Error.prepareStackTrace = (_, sites) => {
    frames = sites.flatMap((site) => {
      const chunk = chunkOf(site.getFileName() ?? undefined);
      if (chunk !== undefined) return [{ source: chunk.name, line: chunk.lines[(site.getLineNumber() ?? 1) - 1] }];
      return site.getFunctionName() === CALLER ? [{ source: "=[C]", line: undefined }] : [];
    });
    return "";
  };
  try {
    void error.stack;
  } finally {
    settings.prepareStackTrace = before;
  }
  return frames;
}

/** What came up through a script, as the error that a `pcall` gives. Whatever none may hold is thrown on. */
export function luaErrorOf(thrown: unknown): LuaError {
  if (thrown instanceof ScriptStopped) throw thrown;
  if (thrown instanceof LuaError) return thrown;
  // V8's own limits: depth of calls, arguments of a call, length of a string.
  if (thrown instanceof RangeError)
    return new LuaError(/call stack/.test(thrown.message) ? "stack overflow" : "not enough memory", 1, thrown);
  throw thrown;
}
