import { LuaError } from "./error.ts";
import { STRING_BYTES_MAX, type Meter } from "./meter.ts";
import { LuaTable, READONLY } from "./table.ts";
import {
  NOTHING,
  first,
  isFunction,
  isTrue,
  numberText,
  toNumber,
  typeOf,
  valueAt,
  valuesOf,
  type LuaFunction,
  type LuaResult,
  type LuaSteps,
  type LuaValue,
} from "./value.ts";

/** How often `__index` may lead on. */
const META_STEPS_MAX = 100;
/** Shorter texts cost less than counting them. */
const COUNTED_CHARS = 1024;

/** Resumes a function that must not be suspended where it is; it fails there. */
export const REFUSED: readonly LuaValue[] = Object.freeze([]);

/** Calls a function of a script from one of ours, which is a level of its own in what `error` counts: `LuaError` knows it by this name. */
export function luaCall(callee: LuaFunction, args: readonly LuaValue[]): LuaResult {
  return callee(...args);
}

/** The turns of a generic `for`. */
interface Turns {
  key: LuaValue;
  value: LuaValue;
  all: LuaResult;
  next(): boolean;
  steps(): Generator<readonly LuaValue[], boolean, readonly LuaValue[]>;
}

/** What generated code calls, by the names that it uses. */
export type Operations = ReturnType<typeof createOperations>;

/** An error where the script is, as Lua words it. */
export const failure = (message: string, level = 1): LuaError => new LuaError(message, level);

const typeFailure = (operation: string, value: LuaValue, description: string | undefined): LuaError =>
  failure(
    `attempt to ${operation} ${description === undefined ? `a ${typeOf(value)} value` : `${description} (a ${typeOf(value)} value)`}`,
  );

/** `strings` is the metatable of all strings. */
export function createOperations(meter: Meter, strings: LuaTable) {
  const metatableOf = (value: LuaValue): LuaTable | undefined =>
    value instanceof LuaTable ? value.metatable : typeof value === "string" ? strings : undefined;
  const handlerOf = (value: LuaValue, event: string): LuaValue => metatableOf(value)?.named(event);

  /** Generated functions that can be suspended. */
  const suspendables = new WeakMap<LuaFunction, (...args: LuaValue[]) => LuaSteps>();

  // --- tables -----------------------------------------------------------------------------------------------------------------------

  function indexOther(object: LuaValue, key: LuaValue, description?: string): LuaValue {
    let at = object;
    for (let step = 0; step < META_STEPS_MAX; step++) {
      let handler: LuaValue;
      if (at instanceof LuaTable) {
        const value = at.get(key);
        if (value !== undefined) return value;
        handler = at.metatable?.named("__index");
        if (handler === undefined) return undefined;
      } else {
        handler = handlerOf(at, "__index");
        if (handler === undefined) throw typeFailure("index", at, step === 0 ? description : undefined);
      }
      if (typeof handler === "function") return first(handler(at, key));
      at = handler;
    }
    throw failure("loop in gettable");
  }

  function index(object: LuaValue, key: LuaValue, description?: string): LuaValue {
    if (object instanceof LuaTable) {
      const value = object.get(key);
      if (value !== undefined || object.metatable === undefined) return value;
    }
    return indexOther(object, key, description);
  }

  function named(object: LuaValue, name: string, description?: string): LuaValue {
    if (object instanceof LuaTable) {
      const value = object.named(name);
      if (value !== undefined || object.metatable === undefined) return value;
    }
    return indexOther(object, name, description);
  }

  function setOther(object: LuaValue, key: LuaValue, value: LuaValue, description?: string): void {
    let at = object;
    for (let step = 0; step < META_STEPS_MAX; step++) {
      let handler: LuaValue;
      if (at instanceof LuaTable) {
        handler = at.metatable?.named("__newindex");
        if (handler === undefined || at.get(key) !== undefined) return assign(at, key, value);
      } else {
        handler = handlerOf(at, "__newindex");
        if (handler === undefined) throw typeFailure("index", at, step === 0 ? description : undefined);
      }
      if (typeof handler === "function") {
        handler(at, key, value);
        return;
      }
      at = handler;
    }
    throw failure("loop in settable");
  }

  function setIndex(object: LuaValue, key: LuaValue, value: LuaValue, description?: string): void {
    if (object instanceof LuaTable && (object.metatable === undefined || object.isReadonly)) assign(object, key, value);
    else setOther(object, key, value, description);
  }

  function setNamed(object: LuaValue, name: string, value: LuaValue, description?: string): void {
    if (object instanceof LuaTable && object.metatable === undefined && !object.isReadonly) object.setNamed(name, value);
    else if (object instanceof LuaTable && object.isReadonly) throw failure(READONLY);
    else setOther(object, name, value, description);
  }

  // --- calls ------------------------------------------------------------------------------------------------------------------------

  /** A function in place of a value that is called; fails only when it is called itself. */
  function callable(value: LuaValue, description?: string): LuaFunction {
    if (isFunction(value)) return value;
    const handler = handlerOf(value, "__call");
    if (typeof handler === "function") return (...args) => handler(value, ...args);
    return () => {
      throw typeFailure("call", value, description);
    };
  }

  /** A generated function that can be suspended; called from elsewhere it must not be. */
  function suspendable(steps: (...args: LuaValue[]) => LuaSteps): LuaFunction {
    const whole: LuaFunction = (...args) => {
      const running = steps(...args);
      let step = running.next([]);
      while (step.done !== true) step = running.next(REFUSED);
      return step.value;
    };
    suspendables.set(whole, steps);
    return whole;
  }

  const stepsOf = (callee: LuaFunction): ((...args: LuaValue[]) => LuaSteps) | undefined => suspendables.get(callee);

  function* callSteps(callee: LuaFunction, args: LuaValue[]): LuaSteps {
    const steps = suspendables.get(callee);
    return steps === undefined ? callee(...args) : yield* steps(...args);
  }

  // --- numbers ----------------------------------------------------------------------------------------------------------------------

  /** What is not simply two numbers. */
  function arithmetic({ event, compute }: Arithmetic, left: LuaValue, right: LuaValue, names: readonly (string | undefined)[]): LuaValue {
    const [a, b] = [toNumber(left), toNumber(right)];
    if (a !== undefined && b !== undefined) return compute(a, b);
    const handler = handlerOf(left, event) ?? handlerOf(right, event);
    if (handler !== undefined) return first(callable(handler)(left, right));
    throw typeFailure("perform arithmetic on", a === undefined ? left : right, a === undefined ? names[0] : names[1]);
  }

  const add = (a: LuaValue, b: LuaValue, left?: string, right?: string): LuaValue =>
    typeof a === "number" && typeof b === "number" ? a + b : arithmetic(ADD, a, b, [left, right]);
  const subtract = (a: LuaValue, b: LuaValue, left?: string, right?: string): LuaValue =>
    typeof a === "number" && typeof b === "number" ? a - b : arithmetic(SUBTRACT, a, b, [left, right]);
  const multiply = (a: LuaValue, b: LuaValue, left?: string, right?: string): LuaValue =>
    typeof a === "number" && typeof b === "number" ? a * b : arithmetic(MULTIPLY, a, b, [left, right]);
  const divide = (a: LuaValue, b: LuaValue, left?: string, right?: string): LuaValue =>
    typeof a === "number" && typeof b === "number" ? a / b : arithmetic(DIVIDE, a, b, [left, right]);
  const modulo = (a: LuaValue, b: LuaValue, left?: string, right?: string): LuaValue =>
    typeof a === "number" && typeof b === "number" ? modulus(a, b) : arithmetic(MODULO, a, b, [left, right]);
  const power = (a: LuaValue, b: LuaValue, left?: string, right?: string): LuaValue =>
    typeof a === "number" && typeof b === "number" ? powerOf(a, b) : arithmetic(POWER, a, b, [left, right]);
  const negate = (a: LuaValue, name?: string): LuaValue => (typeof a === "number" ? -a : arithmetic(NEGATE, a, a, [name, name]));

  // --- texts ------------------------------------------------------------------------------------------------------------------------

  function concat(a: LuaValue, b: LuaValue, left?: string, right?: string): LuaValue {
    const x = typeof a === "number" ? numberText(a) : a;
    const y = typeof b === "number" ? numberText(b) : b;
    if (typeof x === "string" && typeof y === "string") {
      const chars = x.length + y.length;
      if (chars > COUNTED_CHARS) {
        if (chars > STRING_BYTES_MAX) throw failure("not enough memory", 0);
        meter.charge(chars);
      }
      return x + y;
    }
    const handler = handlerOf(a, "__concat") ?? handlerOf(b, "__concat");
    if (handler !== undefined) return first(callable(handler)(a, b));
    const onLeft = typeof x !== "string";
    throw typeFailure("concatenate", onLeft ? a : b, onLeft ? left : right);
  }

  function length(value: LuaValue, description?: string): LuaValue {
    if (value instanceof LuaTable || typeof value === "string") return value.length;
    const handler = handlerOf(value, "__len");
    if (handler !== undefined) return first(callable(handler)(value));
    throw typeFailure("get length of", value, description);
  }

  // --- comparisons ------------------------------------------------------------------------------------------------------------------

  /** A handler that both have in common. */
  function commonHandler(a: LuaValue, b: LuaValue, event: string): LuaValue {
    const handler = handlerOf(a, event);
    return handler !== undefined && handler === handlerOf(b, event) ? handler : undefined;
  }

  const equal = (a: LuaValue, b: LuaValue): boolean => {
    if (a === b) return true;
    if (!(a instanceof LuaTable) || !(b instanceof LuaTable) || a.metatable === undefined) return false;
    const handler = commonHandler(a, b, "__eq");
    return handler !== undefined && isTrue(first(callable(handler)(a, b)));
  };
  const unequal = (a: LuaValue, b: LuaValue): boolean => !equal(a, b);

  function less(a: LuaValue, b: LuaValue): boolean {
    if ((typeof a === "number" && typeof b === "number") || (typeof a === "string" && typeof b === "string")) return a < b;
    const handler = typeOf(a) === typeOf(b) ? commonHandler(a, b, "__lt") : undefined;
    if (handler === undefined) throw incomparable(a, b);
    return isTrue(first(callable(handler)(a, b)));
  }

  function lessOrEqual(a: LuaValue, b: LuaValue): boolean {
    if ((typeof a === "number" && typeof b === "number") || (typeof a === "string" && typeof b === "string")) return a <= b;
    if (typeOf(a) !== typeOf(b)) throw incomparable(a, b);
    const handler = commonHandler(a, b, "__le");
    if (handler !== undefined) return isTrue(first(callable(handler)(a, b)));
    const reverse = commonHandler(b, a, "__lt");
    if (reverse === undefined) throw incomparable(a, b);
    return !isTrue(first(callable(reverse)(b, a)));
  }

  const more = (a: LuaValue, b: LuaValue): boolean => less(b, a);
  const moreOrEqual = (a: LuaValue, b: LuaValue): boolean => lessOrEqual(b, a);

  // --- loops ------------------------------------------------------------------------------------------------------------------------

  class Iteration implements Turns {
    key: LuaValue;
    value: LuaValue = undefined;
    all: LuaResult = NOTHING;
    readonly #step: LuaValue;
    readonly #state: LuaValue;

    constructor(step: LuaValue, state: LuaValue, control: LuaValue) {
      this.#step = step;
      this.#state = state;
      this.key = control;
    }

    next(): boolean {
      const step = this.#step;
      if (step === next && this.#state instanceof LuaTable) return this.#nextOf(this.#state);
      if (step === nextIndex && this.#state instanceof LuaTable) return this.#nextIndexOf(this.#state);
      return this.#take((typeof step === "function" ? step : callable(step))(this.#state, this.key));
    }

    *steps(): Generator<readonly LuaValue[], boolean, readonly LuaValue[]> {
      const steps = isFunction(this.#step) ? suspendables.get(this.#step) : undefined;
      return steps === undefined ? this.next() : this.#take(yield* steps(this.#state, this.key));
    }

    #nextOf(table: LuaTable): boolean {
      const position = table.positionAfter(this.key);
      if (position === undefined) throw failure("invalid key to 'next'", 0);
      if (position < 0) return false;
      this.key = table.keyAt(position);
      this.value = table.valueAt(position);
      return true;
    }

    #nextIndexOf(table: LuaTable): boolean {
      const at = (this.key as number) + 1; // it began with a number and goes on with numbers
      this.value = table.at(at);
      this.key = at;
      return this.value !== undefined;
    }

    #take(result: LuaResult): boolean {
      this.all = result;
      this.key = first(result);
      this.value = valueAt(result, 1);
      return this.key !== undefined;
    }
  }

  const iterate = (step: LuaValue, state?: LuaValue, control?: LuaValue): Turns =>
    new Iteration(step, state, step === nextIndex && typeof control !== "number" ? 0 : control);

  return {
    meter,
    NOTHING,
    first,
    valueAt,
    valuesOf,
    index,
    named,
    setIndex,
    setNamed,
    tableOf,
    tableWith,
    argTable,
    callable,
    suspendable,
    callSteps,
    add,
    subtract,
    multiply,
    divide,
    modulo,
    power,
    negate,
    loopNumber,
    concat,
    length,
    equal,
    unequal,
    less,
    lessOrEqual,
    more,
    moreOrEqual,
    iterate,
    next,
    nextIndex,
    handlerOf,
    metatableOf,
    stepsOf,
    strings,
  };
}

/** C's `pow`: 1 to any power, and any number to the power of 0, is 1. */
const powerOf = (a: number, b: number): number => (a === 1 || (a === -1 && Math.abs(b) === Infinity) ? 1 : a ** b);

/** What is wrong about an assignment is told with its place, unlike where a library makes it. */
function assign(table: LuaTable, key: LuaValue, value: LuaValue): void {
  if (table.isReadonly) throw failure(READONLY);
  if (key === undefined) throw failure("table index is nil");
  if (Number.isNaN(key)) throw failure("table index is NaN");
  table.set(key, value);
}

const tableOf = (values: LuaValue[]): LuaTable => new LuaTable(values);

function argTable(values: readonly LuaValue[]): LuaTable {
  const table = new LuaTable([...values]);
  table.setNamed("n", values.length);
  return table;
}

const modulus = (a: number, b: number): number => a - Math.floor(a / b) * b;

function loopNumber(value: LuaValue, what: string): number {
  const number = toNumber(value);
  if (number === undefined) throw failure(`'for' ${what} must be a number`);
  return number;
}

function incomparable(a: LuaValue, b: LuaValue): LuaError {
  const [left, right] = [typeOf(a), typeOf(b)];
  return failure(left === right ? `attempt to compare two ${left} values` : `attempt to compare ${left} with ${right}`);
}

/** What `next` and the function of `ipairs` are, so that loops over them need not call. */
const next: LuaFunction = (...args) => {
  const [table, key] = args;
  if (!(table instanceof LuaTable))
    throw failure(`bad argument #1 to 'next' (table expected, got ${args.length === 0 ? "no value" : typeOf(table)})`);
  const position = table.positionAfter(key);
  if (position === undefined) throw failure("invalid key to 'next'", 0);
  return position < 0 ? undefined : [table.keyAt(position), table.valueAt(position)];
};

const nextIndex: LuaFunction = (table, at) => {
  if (!(table instanceof LuaTable) || typeof at !== "number") throw failure("bad argument #1 to 'for iterator' (table expected)");
  const value = table.at(at + 1);
  return value === undefined ? undefined : [at + 1, value];
};

interface Arithmetic {
  /** The metamethod. */
  readonly event: string;
  readonly compute: (a: number, b: number) => number;
}

const ADD: Arithmetic = { event: "__add", compute: (a, b) => a + b };
const SUBTRACT: Arithmetic = { event: "__sub", compute: (a, b) => a - b };
const MULTIPLY: Arithmetic = { event: "__mul", compute: (a, b) => a * b };
const DIVIDE: Arithmetic = { event: "__div", compute: (a, b) => a / b };
const MODULO: Arithmetic = { event: "__mod", compute: modulus };
const POWER: Arithmetic = { event: "__pow", compute: powerOf };
const NEGATE: Arithmetic = { event: "__unm", compute: (a) => -a };

/** `fields`: keys and values in turn. */
function tableWith(values: LuaValue[], fields: readonly LuaValue[]): LuaTable {
  const table = new LuaTable(values);
  for (let at = 0; at < fields.length; at += 2) {
    const key = fields[at];
    // Values without a key are assigned last.
    if (typeof key !== "number" || !(key >= 1 && key <= values.length && Number.isInteger(key))) assign(table, key, fields[at + 1]);
  }
  return table;
}
