import { functionAt, library } from "./arguments.ts";
import { badArgument } from "./arguments.ts";
import { LuaError, luaErrorOf } from "./error.ts";
import { failure, type Operations } from "./operations.ts";
import type { LuaTable } from "./table.ts";
import { Coroutine, NOTHING, valuesOf, type LuaResult, type LuaValue } from "./value.ts";

/**
 * https://www.lua.org/manual/5.1/manual.html#5.2. Functions of chunks that name `coroutine` are compiled to generators; those of other chunks run in a
 * coroutine, too, but cannot be suspended, and answer as Lua does where C functions lie between.
 */
export function createCoroutineLibrary(operations: Operations): LuaTable {
  let running: Coroutine | undefined;

  function luaResume(coroutine: Coroutine, args: readonly LuaValue[]): LuaResult {
    const outer = running;
    if (outer !== undefined) outer.status = "normal";
    coroutine.status = "running";
    running = coroutine;
    try {
      if (coroutine.steps === undefined) {
        const start = operations.stepsOf(coroutine.body);
        if (start === undefined) {
          const result = coroutine.body(...args);
          coroutine.status = "dead";
          return result;
        }
        coroutine.steps = start(...args);
        args = [];
      }
      const step = coroutine.steps.next(args);
      coroutine.status = step.done === true ? "dead" : "suspended";
      return step.value;
    } catch (thrown) {
      coroutine.status = "dead";
      throw thrown;
    } finally {
      running = outer;
      if (outer !== undefined) outer.status = "running";
    }
  }

  const unresumable = (coroutine: Coroutine): string =>
    coroutine.status === "dead" ? "cannot resume dead coroutine" : "cannot resume non-suspended coroutine";

  function resume(...args: LuaValue[]): LuaResult {
    const coroutine = coroutineAt(args, "resume");
    if (coroutine.status !== "suspended") return [false, unresumable(coroutine)];
    try {
      return [true, ...valuesOf(luaResume(coroutine, args.slice(1)))];
    } catch (thrown) {
      return [false, luaErrorOf(thrown).value];
    }
  }

  function wrap(...args: LuaValue[]): LuaResult {
    const coroutine = new Coroutine(functionAt(args, 0, "wrap"));
    return (...given) => {
      if (coroutine.status !== "suspended") throw failure(unresumable(coroutine));
      try {
        return luaResume(coroutine, given);
      } catch (thrown) {
        const { value } = luaErrorOf(thrown);
        throw new LuaError(value, typeof value === "string" ? 1 : 0);
      }
    };
  }

  const suspend = operations.suspendable(function* (...values) {
    return yield values;
  });

  return library({
    create: (...args) => new Coroutine(functionAt(args, 0, "create")),
    resume,
    running: () => running ?? NOTHING,
    status: (...args) => coroutineAt(args, "status").status,
    wrap,
    yield: suspend,
  });
}

function coroutineAt(args: readonly LuaValue[], name: string): Coroutine {
  const [value] = args;
  if (value instanceof Coroutine) return value;
  throw badArgument(0, name, "coroutine expected");
}
