import { badArgument, library } from "./arguments.ts";
import { LuaError, luaErrorOf } from "./error.ts";
import { REFUSED, failure, luaCall, type Operations } from "./operations.ts";
import type { LuaTable } from "./table.ts";
import { Coroutine, NOTHING, isFunction, valuesOf, type LuaFunction, type LuaResult, type LuaValue } from "./value.ts";

/**
 * https://www.lua.org/manual/5.1/manual.html#5.2. Functions of chunks that name `coroutine` are compiled to generators; those of other chunks run in a
 * coroutine, too, but cannot be suspended, and answer as Lua does where C functions lie between.
 */
export function createCoroutineLibrary(operations: Operations): LuaTable {
  let running: Coroutine | undefined;

  function run(coroutine: Coroutine, args: readonly LuaValue[]): LuaResult {
    const outer = running;
    if (outer !== undefined) outer.status = "normal";
    coroutine.status = "running";
    running = coroutine;
    try {
      if (coroutine.steps === undefined) {
        const start = operations.stepsOf(coroutine.body);
        if (start === undefined) {
          const result = luaCall(coroutine.body, args);
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

  function resume(...args: LuaValue[]): LuaResult {
    const coroutine = coroutineAt(args, "resume");
    if (coroutine.status !== "suspended") return [false, unresumable(coroutine)];
    try {
      return [true, ...valuesOf(run(coroutine, args.slice(1)))];
    } catch (thrown) {
      return [false, luaErrorOf(thrown).value];
    }
  }

  function wrap(...args: LuaValue[]): LuaResult {
    const coroutine = new Coroutine(bodyAt(args, "wrap"));
    return (...given) => {
      if (coroutine.status !== "suspended") throw failure(unresumable(coroutine));
      try {
        return run(coroutine, given);
      } catch (thrown) {
        const { value } = luaErrorOf(thrown);
        throw new LuaError(value, typeof value === "string" ? 1 : 0);
      }
    };
  }

  const suspend = operations.suspendable(function* (...values) {
    const given = yield values;
    if (given === REFUSED) throw failure("attempt to yield across metamethod/C-call boundary", 0);
    return given;
  });

  return library({
    create: (...args) => new Coroutine(bodyAt(args, "create")),
    resume,
    running: () => running ?? NOTHING,
    status: (...args) => coroutineAt(args, "status").status,
    wrap,
    yield: suspend,
  });
}

function bodyAt(args: readonly LuaValue[], name: string): LuaFunction {
  const [value] = args;
  if (isFunction(value)) return value;
  throw badArgument(0, name, "Lua function expected");
}

function coroutineAt(args: readonly LuaValue[], name: string): Coroutine {
  const [value] = args;
  if (value instanceof Coroutine) return value;
  throw badArgument(0, name, "coroutine expected");
}

const unresumable = ({ status }: Coroutine): string => `cannot resume ${status} coroutine`;
