import { CodeWriter, Temporaries } from "./code-writer.ts";
import type { BinaryOperator, Block, Call, Expression, FunctionBody, Statement, Variable } from "./syntax.ts";

/** What of the language a chunk makes use of; the less, the faster. */
export interface Dialect {
  /** Functions can be suspended: they are generators, and calls are `yield*`. */
  readonly steps: boolean;
}

/**
 * JavaScript for a chunk: an expression whose value is a function of the names of `Operations` and the table of its globals. Locals become variables with
 * names of their own, everything else goes through the operations, the common case of numbers and of calls inline. No text of the script gets
 * into the code but names (letters, digits, `_`) and strings in JSON.
 */
export function generate(
  body: FunctionBody,
  dialect: Dialect,
  operations: readonly string[],
): { readonly code: string; readonly lines: readonly number[] } {
  const writer = new CodeWriter();
  writer.write(`((operations,E)=>{"use strict";const{${operations.join(",")}}=operations;return `);
  new Generator(writer, dialect).function(body);
  writer.write("})");
  return { code: writer.code, lines: writer.lines };
}

/** The object of the method that is called next. */
const SELF = "self$0";
const TICK = "if(--meter.left<0)meter.tick();";
/** Inline where both operands are variables or constants. */
const INLINE: Readonly<Partial<Record<BinaryOperator, string>>> = {
  "+": "+",
  "-": "-",
  "*": "*",
  "/": "/",
  "<": "<",
  "<=": "<=",
  ">": ">",
  ">=": ">=",
};
const OPERATIONS: Readonly<Record<BinaryOperator, string>> = {
  "+": "add",
  "-": "subtract",
  "*": "multiply",
  "/": "divide",
  "%": "modulo",
  "^": "power",
  "..": "concat",
  "==": "equal",
  "~=": "unequal",
  "<": "less",
  "<=": "lessOrEqual",
  ">": "more",
  ">=": "moreOrEqual",
};
const COMPARISONS: ReadonlySet<string> = new Set(["==", "~=", "<", "<=", ">", ">="]);

const nameOf = ({ name, id }: Variable): string => `${name}$${id}`;
const isMultiple = (expression: Expression | undefined): boolean => expression?.kind === "call" || expression?.kind === "varargs";
const isSimple = ({ kind }: Expression): boolean => kind === "local" || kind === "number";
const isConstant = ({ kind }: Expression): boolean =>
  kind === "number" || kind === "string" || kind === "nil" || kind === "true" || kind === "false";

/** How messages call what an operation failed on. */
function describe(expression: Expression): string | undefined {
  if (expression.kind === "local") return `${expression.upvalue ? "upvalue" : "local"} '${expression.variable.name}'`;
  if (expression.kind === "global") return `global '${expression.name}'`;
  return expression.kind === "index" && expression.key.kind === "string" ? `field '${expression.key.value}'` : undefined;
}

const quoted = (text: string | undefined): string => (text === undefined ? "undefined" : JSON.stringify(text));
const numeral = (value: number): string => (Object.is(value, -0) ? "-0" : String(value));

class Generator {
  readonly #writer: CodeWriter;
  readonly #dialect: Dialect;
  #temporaries = new Temporaries();
  #loops = 0;
  #usesSelf = false;

  constructor(writer: CodeWriter, dialect: Dialect) {
    this.#writer = writer;
    this.#dialect = dialect;
  }

  function(body: FunctionBody): void {
    const write = this.#write;
    const { steps } = this.#dialect;
    const outer = this.#temporaries;
    const outerSelf = this.#usesSelf;
    this.#temporaries = new Temporaries();
    this.#usesSelf = false;
    const parameters = body.parameters.map(nameOf);
    if (body.varargs) parameters.push("...va");
    write(steps ? `suspendable(function*(${parameters.join(",")}){` : `((${parameters.join(",")})=>{`, TICK);
    if (body.arg !== undefined) write(`let ${nameOf(body.arg.variable)}${body.arg.filled ? "=argTable(va)" : ""};`);
    this.#block(body.body);
    if (body.body.at(-1)?.kind !== "return") write("return NOTHING;");
    write(this.#temporaries.declaration, this.#usesSelf ? `var ${SELF};})` : "})");
    this.#temporaries = outer;
    this.#usesSelf = outerSelf;
  }

  readonly #write = (...texts: readonly string[]): void => this.#writer.write(...texts);

  // --- statements -------------------------------------------------------------------------------------------------------------------

  #block(statements: Block): void {
    for (const statement of statements) this.#statement(statement);
  }

  #statement(statement: Statement): void {
    const write = this.#write;
    switch (statement.kind) {
      case "local":
        return this.#local(statement.variables, statement.values);
      case "localFunction":
        write(`let ${nameOf(statement.variable)};${nameOf(statement.variable)}=`);
        this.function(statement.body);
        return write(";");
      case "assign":
        return this.#assign(statement.targets, statement.values);
      case "call":
        this.#call(statement.call);
        return write(";");
      case "do":
        write("{");
        this.#block(statement.body);
        return write("}");
      case "while":
        write("while(");
        this.#condition(statement.condition);
        write(`){${TICK}`);
        this.#block(statement.body);
        return write("}");
      case "repeat":
        write(`for(;;){${TICK}`);
        this.#block(statement.body);
        if (statement.body.at(-1)?.kind !== "return" && statement.body.at(-1)?.kind !== "break") {
          write("if(");
          this.#condition(statement.condition);
          write(")break;");
        }
        return write("}");
      case "if":
        return this.#if(statement.branches, statement.otherwise);
      case "count":
        return this.#count(statement);
      case "each":
        return this.#each(statement);
      case "return":
        return this.#return(statement.values);
      case "break":
        return write("break;");
    }
  }

  #if(branches: readonly (readonly [Expression, Block])[], otherwise: Block | undefined): void {
    for (const [index, [condition, body]] of branches.entries()) {
      this.#write(index === 0 ? "if(" : "else if(");
      this.#condition(condition);
      this.#write("){");
      this.#block(body);
      this.#write("}");
    }
    if (otherwise === undefined) return;
    this.#write("else{");
    this.#block(otherwise);
    this.#write("}");
  }

  #local(variables: readonly Variable[], values: readonly Expression[]): void {
    this.#assignTo(
      variables.map((variable) => (value) => {
        this.#write(`let ${nameOf(variable)}`);
        if (value === undefined) return;
        this.#write("=");
        value();
      }),
      values,
    );
  }

  #assign(targets: readonly Expression[], values: readonly Expression[]): void {
    if (targets.length === 1 && values.length === 1) {
      this.#assignment(targets[0]!, () => this.#value(values[0]!));
      return this.#write(";");
    }
    // All is evaluated before anything is assigned, and that from right to left.
    let taken = 0;
    const take = (expression: Expression): Expression => {
      if (isConstant(expression)) return expression;
      const name = this.#temporaries.take();
      taken++;
      this.#write(`${name}=`);
      this.#value(expression);
      this.#write(";");
      return temporary(name);
    };
    const places = targets.map((target) =>
      target.kind === "index"
        ? { ...target, object: take(target.object), key: take(target.key), description: describe(target.object) }
        : target,
    );
    const names = targets.map(() => this.#temporaries.take());
    this.#assignTo(
      names.map((name) => (value) => {
        this.#write(`${name}=`);
        if (value === undefined) this.#write("undefined");
        else value();
      }),
      values,
    );
    for (let index = targets.length - 1; index >= 0; index--) {
      this.#assignment(places[index]!, () => this.#write(names[index]!));
      this.#write(";");
    }
    this.#temporaries.release(taken + names.length);
  }

  /** Assigns values to as many places: those missing are nil, or come from the last one if it gives several. */
  #assignTo(places: readonly ((value?: () => void) => void)[], values: readonly Expression[]): void {
    const last = values.at(-1);
    const spread = values.length < places.length && isMultiple(last) ? this.#temporaries.take() : undefined;
    for (const [index, place] of places.entries()) {
      const value = values[index];
      if (spread !== undefined && index === values.length - 1) {
        this.#write(`${spread}=`);
        this.#multiple(last!);
        this.#write(";");
      }
      if (spread !== undefined && index >= values.length - 1) place(() => this.#write(`valueAt(${spread},${index - values.length + 1})`));
      else if (value === undefined) place();
      else place(() => this.#value(value));
      this.#write(";");
    }
    for (const value of values.slice(places.length)) {
      this.#value(value);
      this.#write(";");
    }
    if (spread !== undefined) this.#temporaries.release();
  }

  #assignment(target: Expression & { readonly description?: string | undefined }, value: () => void): void {
    const write = this.#write;
    if (target.kind === "local") {
      write(`${nameOf(target.variable)}=`);
      return value();
    }
    if (target.kind === "global") {
      this.#writer.mark(target.line);
      write(`setNamed(E,${JSON.stringify(target.name)},`);
      value();
      return write(")");
    }
    if (target.kind !== "index") throw new Error("the parser lets nothing else be assigned");
    this.#writer.mark(target.line);
    const named = target.key.kind === "string";
    write(named ? "setNamed(" : "setIndex(");
    this.#value(target.object);
    write(",");
    this.#value(target.key);
    write(",");
    value();
    write(`,${quoted(target.description ?? describe(target.object))})`);
  }

  #count({ variable, range, body, line }: Statement & { kind: "count" }): void {
    const write = this.#write;
    const id = ++this.#loops;
    const names = ["i", "limit", "step"].map((name) => `${name}${id}`);
    this.#writer.mark(line);
    write("{let ");
    for (const [index, what] of ["initial value", "limit", "step"].entries()) {
      const expression = range[index];
      if (expression === undefined) break;
      write(`${index > 0 ? "," : ""}${names[index]}=`);
      if (expression.kind === "number") write(numeral(expression.value));
      else {
        write("loopNumber(");
        this.#value(expression);
        write(`,"${what}")`);
      }
    }
    const [at, limit, step] = names as [string, string, string]; // three of three
    const constant = range[2] === undefined ? 1 : range[2].kind === "number" ? range[2].value : undefined;
    const test =
      constant === undefined ? `${step}>0?${at}<=${limit}:${limit}<=${at}` : constant > 0 ? `${at}<=${limit}` : `${limit}<=${at}`;
    write(`;for(;${test};${at}+=${constant === undefined ? step : `(${numeral(constant)})`}){${TICK}let ${nameOf(variable)}=${at};`);
    this.#block(body);
    write("}}");
  }

  #each({ variables, values, body, line }: Statement & { kind: "each" }): void {
    const write = this.#write;
    const each = `each${++this.#loops}`;
    write(`{const ${each}=iterate(`);
    this.#list(values);
    write(");");
    this.#writer.mark(line);
    write("while(");
    if (this.#dialect.steps) write(`(yield*${each}.steps())`);
    else write(`${each}.next()`);
    write(`){${TICK}`);
    for (const [index, variable] of variables.entries()) {
      const value = index === 0 ? "key" : index === 1 ? "value" : undefined;
      write(`let ${nameOf(variable)}=${value === undefined ? `valueAt(${each}.all,${index})` : `${each}.${value}`};`);
    }
    this.#block(body);
    write("}}");
  }

  #return(values: readonly Expression[]): void {
    const write = this.#write;
    if (values.length === 0) return write("return NOTHING;");
    write("return(");
    if (values.length === 1) this.#multiple(values[0]!);
    else {
      write("[");
      this.#list(values);
      write("]");
    }
    write(");");
  }

  // --- expressions ------------------------------------------------------------------------------------------------------------------

  /** Several values between commas, the last one with all that it gives. */
  #list(values: readonly Expression[]): void {
    for (const [index, value] of values.entries()) {
      if (index > 0) this.#write(",");
      if (index < values.length - 1 || !isMultiple(value)) this.#value(value);
      else if (value.kind === "varargs") this.#write("...va");
      else {
        this.#write("...valuesOf(");
        this.#multiple(value);
        this.#write(")");
      }
    }
  }

  /** All values of an expression: `LuaResult`. */
  #multiple(expression: Expression): void {
    if (expression.kind === "call") this.#call(expression);
    else if (expression.kind === "varargs") this.#write("va");
    else this.#value(expression);
  }

  /** One value. */
  #value(expression: Expression): void {
    const write = this.#write;
    switch (expression.kind) {
      case "nil":
        return write("undefined");
      case "true":
      case "false":
        return write(expression.kind);
      case "number":
        return write(
          expression.value < 0 || Object.is(expression.value, -0) ? `(${numeral(expression.value)})` : numeral(expression.value),
        );
      case "string":
        return write(JSON.stringify(expression.value));
      case "varargs":
        return write("va[0]");
      case "function":
        return this.function(expression.body);
      case "local":
        return write(nameOf(expression.variable));
      case "global":
        this.#writer.mark(expression.line);
        return write(`named(E,${JSON.stringify(expression.name)})`);
      case "single":
        return this.#value(expression.inner);
      case "call":
        write("first(");
        this.#call(expression);
        return write(")");
      case "index":
        return this.#index(expression.object, expression.key, expression.line);
      case "and":
      case "or":
        return this.#choice(expression.kind, expression.left, expression.right);
      case "unary":
        return this.#unary(expression);
      case "binary":
        return this.#binary(expression);
      case "table":
        return this.#table(expression);
    }
  }

  #index(object: Expression, key: Expression, line: number): void {
    this.#writer.mark(line);
    this.#write(key.kind === "string" ? "named(" : "index(");
    this.#value(object);
    this.#write(",");
    this.#value(key);
    this.#write(`,${quoted(describe(object))})`);
  }

  #choice(kind: "and" | "or", left: Expression, right: Expression): void {
    const name = this.#temporaries.take();
    this.#write(`((${name}=`);
    this.#value(left);
    this.#temporaries.release();
    this.#write(kind === "and" ? `)===undefined||${name}===false?${name}:` : `)!==undefined&&${name}!==false?${name}:`);
    this.#value(right);
    this.#write(")");
  }

  /** A JavaScript condition. */
  #condition(expression: Expression): void {
    const write = this.#write;
    if (expression.kind === "single") return this.#condition(expression.inner);
    if (expression.kind === "and" || expression.kind === "or") {
      write("(");
      this.#condition(expression.left);
      write(expression.kind === "and" ? "&&" : "||");
      this.#condition(expression.right);
      return write(")");
    }
    if (expression.kind === "unary" && expression.operator === "not") {
      write("!(");
      this.#condition(expression.operand);
      return write(")");
    }
    if ((expression.kind === "binary" && COMPARISONS.has(expression.operator)) || expression.kind === "true" || expression.kind === "false")
      return this.#value(expression);
    const name = expression.kind === "local" ? nameOf(expression.variable) : this.#temporaries.take();
    if (expression.kind === "local") return write(`(${name}!==undefined&&${name}!==false)`);
    write(`((${name}=`);
    this.#value(expression);
    this.#temporaries.release();
    write(`)!==undefined&&${name}!==false)`);
  }

  #unary({ operator, operand, line }: Expression & { kind: "unary" }): void {
    const write = this.#write;
    if (operator === "not") {
      write("!(");
      this.#condition(operand);
      return write(")");
    }
    this.#writer.mark(line);
    write(operator === "-" ? "negate(" : "length(");
    this.#value(operand);
    write(`,${quoted(describe(operand))})`);
  }

  #binary({ operator, left, right, line }: Expression & { kind: "binary" }): void {
    const write = this.#write;
    if ((operator === "==" || operator === "~=") && (isConstant(left) || isConstant(right))) {
      write("(");
      this.#value(left);
      write(operator === "==" ? "===" : "!==");
      this.#value(right);
      return write(")");
    }
    const inline = INLINE[operator];
    const tests = [left, right].filter(({ kind }) => kind === "local");
    if (inline !== undefined && isSimple(left) && isSimple(right)) {
      write("(");
      for (const [index, test] of tests.entries()) {
        write(index > 0 ? "&&typeof " : "typeof ");
        this.#value(test);
        write('==="number"');
      }
      if (tests.length > 0) write("?");
      this.#value(left);
      write(inline);
      this.#value(right);
      if (tests.length === 0) return write(")");
      write(":");
      this.#operation(operator, left, right, line);
      return write(")");
    }
    this.#operation(operator, left, right, line);
  }

  #operation(operator: BinaryOperator, left: Expression, right: Expression, line: number): void {
    this.#writer.mark(line);
    this.#write(`${OPERATIONS[operator]}(`);
    this.#value(left);
    this.#write(",");
    this.#value(right);
    const [first, second] = [describe(left), describe(right)];
    if (!COMPARISONS.has(operator) && (first !== undefined || second !== undefined)) this.#write(`,${quoted(first)},${quoted(second)}`);
    this.#write(")");
  }

  #table({ items, fields, line }: Expression & { kind: "table" }): void {
    const write = this.#write;
    this.#writer.mark(line);
    write(fields.length === 0 ? "tableOf([" : "tableWith([");
    this.#list(items);
    write("]");
    if (fields.length > 0) {
      write(",[");
      for (const [key, value] of fields) {
        this.#value(key);
        write(",");
        this.#value(value);
        write(",");
      }
      write("]");
    }
    write(")");
  }

  #call(call: Call): void {
    if (this.#dialect.steps) return this.#callInSteps(call);
    const write = this.#write;
    this.#callee(call);
    this.#writer.mark(call.line);
    write("(");
    if (call.method !== undefined) write(SELF, call.args.length > 0 ? "," : "");
    this.#list(call.args);
    write(")");
  }

  /** The function that is called, in parentheses. What cannot be called fails only once the arguments are evaluated. */
  #callee({ callee, method, line }: Call): void {
    const write = this.#write;
    write("(");
    if (method === undefined && callee.kind === "local") {
      const name = nameOf(callee.variable);
      return write(`typeof ${name}==="function"?${name}:callable(${name},${quoted(describe(callee))}))`);
    }
    const name = this.#temporaries.take();
    write(`typeof(${name}=`);
    if (method === undefined) this.#value(callee);
    else this.#method(callee, method, line);
    this.#temporaries.release();
    write(`)==="function"?${name}:callable(${name},${quoted(method === undefined ? describe(callee) : `method '${method}'`)}))`);
  }

  /** Looks a method up, and leaves the object in `SELF`. */
  #method(object: Expression, method: string, line: number): void {
    this.#writer.mark(line);
    this.#usesSelf = true;
    this.#write(`named(${SELF}=`);
    this.#value(object);
    this.#write(`,${JSON.stringify(method)},${quoted(describe(object))})`);
  }

  #callInSteps(call: Call): void {
    const write = this.#write;
    this.#writer.mark(call.line);
    write("(yield*callSteps(");
    this.#callee(call);
    write(",[");
    if (call.method !== undefined) write(SELF, call.args.length > 0 ? "," : "");
    this.#list(call.args);
    write("]))");
  }
}

const temporary = (name: string): Expression => ({ kind: "local", variable: { name: name.slice(0, -2), id: 0 }, upvalue: false });
