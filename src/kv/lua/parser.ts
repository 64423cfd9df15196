import { END, Lexer, NAME, NUMBER, STRING } from "./lexer.ts";
import type { LuaError } from "./error.ts";
import type { BinaryOperator, Block, Call, Expression, FunctionBody, Statement, Variable } from "./syntax.ts";

/** Lua's own limits. */
const NESTING_MAX = 200;
const LOCALS_MAX = 200;
const UPVALUES_MAX = 60;

/** How tightly operators bind to the left and to the right. */
const PRIORITIES: Readonly<Record<string, readonly [number, number]>> = {
  "+": [6, 6],
  "-": [6, 6],
  "*": [7, 7],
  "/": [7, 7],
  "%": [7, 7],
  "^": [10, 9],
  "..": [5, 4],
  "~=": [3, 3],
  "==": [3, 3],
  "<": [3, 3],
  "<=": [3, 3],
  ">": [3, 3],
  ">=": [3, 3],
  and: [2, 2],
  or: [1, 1],
};
const UNARY_PRIORITY = 8;

/** The tree of a source (https://www.lua.org/manual/5.1/manual.html#8). `chunk` as messages name it. Throws `LuaError` with Lua's own text. */
export const parse = (source: string, chunk: string): FunctionBody => new Parser(source, chunk).parse();

interface Scope {
  readonly parent: Scope | undefined;
  readonly variables: Map<string, Variable>;
}

/** A function under way. */
interface FunctionState {
  readonly parent: FunctionState | undefined;
  readonly line: number;
  readonly varargs: boolean;
  readonly upvalues: Set<Variable>;
  /** Those of the function, by identity. */
  readonly owned: Set<Variable>;
  scope: Scope;
  locals: number;
  loops: number;
  usesVarargs: boolean;
  arg: Variable | undefined;
  usesArg: boolean;
}

class Parser {
  readonly #lexer: Lexer;
  #function: FunctionState;
  #depth = 0;
  #variables = 0;

  constructor(source: string, chunk: string) {
    this.#lexer = new Lexer(source, chunk);
    this.#function = functionState(undefined, 0, true);
  }

  parse(): FunctionBody {
    const body = this.#block();
    this.#check(END);
    return { parameters: [], varargs: true, arg: undefined, body };
  }

  // --- tokens -----------------------------------------------------------------------------------------------------------------------

  #accept(kind: string): boolean {
    if (this.#lexer.kind !== kind) return false;
    this.#lexer.next();
    return true;
  }

  #check(kind: string): void {
    if (this.#lexer.kind !== kind) throw this.#lexer.error(`'${kind}' expected`);
  }

  #expect(kind: string): void {
    this.#check(kind);
    this.#lexer.next();
  }

  /** The end of something that was opened. */
  #close(kind: string, opened: string, line: number): void {
    if (this.#accept(kind)) return;
    throw this.#lexer.error(line === this.#lexer.line ? `'${kind}' expected` : `'${kind}' expected (to close '${opened}' at line ${line})`);
  }

  #name(): string {
    this.#check(NAME);
    const name = this.#lexer.value as string; // a name's value
    this.#lexer.next();
    return name;
  }

  #nested<T>(read: () => T): T {
    if (++this.#depth > NESTING_MAX) throw this.#lexer.failure("chunk has too many syntax levels", this.#lexer.line);
    const result = read();
    this.#depth--;
    return result;
  }

  // --- variables --------------------------------------------------------------------------------------------------------------------

  #variable(name: string): Variable {
    return { name, id: ++this.#variables };
  }

  /** Makes a variable known from here to the end of its block. */
  #declare(variable: Variable): void {
    const state = this.#function;
    if (++state.locals > LOCALS_MAX) throw this.#limit(state, LOCALS_MAX, "local variables");
    state.owned.add(variable);
    state.scope.variables.set(variable.name, variable);
  }

  #limit(state: FunctionState, limit: number, what: string): LuaError {
    const where = state.line === 0 ? "main function" : `function at line ${state.line}`;
    return this.#lexer.error(`${where} has more than ${limit} ${what}`);
  }

  #resolve(name: string, line: number): Expression {
    for (let scope: Scope | undefined = this.#function.scope; scope !== undefined; scope = scope.parent) {
      const variable = scope.variables.get(name);
      if (variable === undefined) continue;
      const upvalue = !this.#function.owned.has(variable);
      if (upvalue) this.#capture(variable);
      for (let state: FunctionState | undefined = this.#function; state !== undefined; state = state.parent)
        if (state.arg === variable) state.usesArg = true;
      return { kind: "local", variable, upvalue };
    }
    return { kind: "global", name, line };
  }

  #capture(variable: Variable): void {
    for (let state: FunctionState | undefined = this.#function; state !== undefined && !state.owned.has(variable); state = state.parent) {
      state.upvalues.add(variable);
      if (state.upvalues.size > UPVALUES_MAX) throw this.#limit(state, UPVALUES_MAX, "upvalues");
    }
  }

  #scoped<T>(read: () => T): T {
    const state = this.#function;
    const { scope, locals } = state;
    state.scope = { parent: scope, variables: new Map() };
    const result = read();
    state.scope = scope;
    state.locals = locals;
    return result;
  }

  // --- statements -------------------------------------------------------------------------------------------------------------------

  #block(): Block {
    return this.#scoped(() => this.#statements());
  }

  #statements(): Block {
    const statements: Statement[] = [];
    return this.#nested(() => {
      for (;;) {
        const { kind } = this.#lexer;
        if (kind === END || kind === "end" || kind === "else" || kind === "elseif" || kind === "until") return statements;
        const statement = this.#nested(() => this.#statement());
        this.#accept(";");
        statements.push(statement);
        if (statement.kind === "return" || statement.kind === "break") return statements;
      }
    });
  }

  #statement(): Statement {
    const { kind, line } = this.#lexer;
    switch (kind) {
      case "if":
        return this.#if(line);
      case "while":
        return this.#while(line);
      case "do": {
        this.#lexer.next();
        const body = this.#block();
        this.#close("end", "do", line);
        return { kind: "do", body };
      }
      case "for":
        return this.#for(line);
      case "repeat":
        return this.#repeat(line);
      case "function":
        return this.#functionStatement(line);
      case "local":
        this.#lexer.next();
        return this.#accept("function") ? this.#localFunction(line) : this.#local(line);
      case "return":
        return this.#return(line);
      case "break":
        this.#lexer.next();
        if (this.#function.loops === 0) throw this.#lexer.error("no loop to break");
        return { kind: "break" };
      default:
        return this.#expressionStatement();
    }
  }

  #if(line: number): Statement {
    const branches: (readonly [Expression, Block])[] = [];
    let otherwise: Block | undefined;
    do {
      this.#lexer.next();
      const condition = this.#expression();
      this.#expect("then");
      branches.push([condition, this.#block()]);
    } while (this.#lexer.kind === "elseif");
    if (this.#accept("else")) otherwise = this.#block();
    this.#close("end", "if", line);
    return { kind: "if", branches, otherwise };
  }

  #loop<T>(read: () => T): T {
    this.#function.loops++;
    const result = read();
    this.#function.loops--;
    return result;
  }

  #while(line: number): Statement {
    this.#lexer.next();
    const condition = this.#expression();
    this.#expect("do");
    const body = this.#loop(() => this.#block());
    this.#close("end", "while", line);
    return { kind: "while", condition, body };
  }

  #repeat(line: number): Statement {
    this.#lexer.next();
    // The condition sees the variables of the body.
    return this.#scoped(() => {
      const body = this.#loop(() => this.#statements());
      this.#close("until", "repeat", line);
      return { kind: "repeat", condition: this.#expression(), body };
    });
  }

  #for(line: number): Statement {
    this.#lexer.next();
    const name = this.#name();
    const { kind } = this.#lexer;
    if (kind === "=") return this.#count(name, line);
    if (kind === "," || kind === "in") return this.#each(name, line);
    throw this.#lexer.error("'=' or 'in' expected");
  }

  #count(name: string, line: number): Statement {
    this.#lexer.next();
    const range = [this.#expression()];
    this.#expect(",");
    range.push(this.#expression());
    if (this.#accept(",")) range.push(this.#expression());
    const variable = this.#variable(name);
    return { kind: "count", variable, range, body: this.#forBody([variable], line), line };
  }

  #each(name: string, line: number): Statement {
    const variables = [this.#variable(name)];
    while (this.#accept(",")) variables.push(this.#variable(this.#name()));
    this.#expect("in");
    const valuesLine = this.#lexer.line;
    const values = this.#expressions();
    return { kind: "each", variables, values, body: this.#forBody(variables, line), line: valuesLine };
  }

  #forBody(variables: readonly Variable[], line: number): Block {
    this.#expect("do");
    const body = this.#scoped(() => {
      this.#function.locals += 3; // what the loop keeps for itself counts to the limit
      for (const variable of variables) this.#declare(variable);
      return this.#loop(() => this.#statements());
    });
    this.#close("end", "for", line);
    return body;
  }

  #functionStatement(line: number): Statement {
    this.#lexer.next();
    let target = this.#resolve(this.#name(), line);
    let method = false;
    while (this.#lexer.kind === "." || this.#lexer.kind === ":") {
      method = this.#lexer.kind === ":";
      this.#lexer.next();
      target = { kind: "index", object: target, key: { kind: "string", value: this.#name() }, line };
      if (method) break;
    }
    const body = this.#functionBody(line, method);
    return { kind: "assign", targets: [target], values: [{ kind: "function", body }], line };
  }

  #localFunction(line: number): Statement {
    const variable = this.#variable(this.#name());
    this.#declare(variable);
    return { kind: "localFunction", variable, body: this.#functionBody(line, false) };
  }

  #local(line: number): Statement {
    const variables: Variable[] = [];
    do variables.push(this.#variable(this.#name()));
    while (this.#accept(","));
    const values = this.#accept("=") ? this.#expressions() : [];
    for (const variable of variables) this.#declare(variable);
    return { kind: "local", variables, values, line };
  }

  #return(line: number): Statement {
    this.#lexer.next();
    const { kind } = this.#lexer;
    const none = kind === END || kind === "end" || kind === "else" || kind === "elseif" || kind === "until" || kind === ";";
    const values = none ? [] : this.#expressions();
    this.#accept(";");
    const after = this.#lexer.kind;
    if (after !== END && after !== "end" && after !== "else" && after !== "elseif" && after !== "until") throw this.#misplaced();
    return { kind: "return", values, line };
  }

  /** A statement behind the last one of a block. */
  #misplaced(): LuaError {
    return this.#lexer.error(
      `'${this.#function.parent === undefined && this.#function.scope.parent === undefined ? END : "end"}' expected`,
    );
  }

  #expressionStatement(): Statement {
    const { line } = this.#lexer;
    const expression = this.#suffixed();
    if (expression.kind === "call") return { kind: "call", call: expression };
    const targets: Expression[] = [expression];
    while (this.#accept(",")) targets.push(this.#nested(() => this.#suffixed()));
    for (const target of targets)
      if (target.kind !== "local" && target.kind !== "global" && target.kind !== "index") throw this.#lexer.error("syntax error");
    this.#expect("=");
    return { kind: "assign", targets, values: this.#expressions(), line };
  }

  // --- expressions ------------------------------------------------------------------------------------------------------------------

  #expressions(): Expression[] {
    const expressions = [this.#expression()];
    while (this.#accept(",")) expressions.push(this.#expression());
    return expressions;
  }

  #expression(limit = 0): Expression {
    return this.#nested(() => {
      let left = this.#operand();
      for (;;) {
        const operator = this.#lexer.kind;
        const priority = PRIORITIES[operator];
        if (priority === undefined || priority[0] <= limit) return left;
        const { line } = this.#lexer;
        this.#lexer.next();
        const right = this.#expression(priority[1]);
        if (operator === "and" || operator === "or") left = { kind: operator, left, right };
        else left = { kind: "binary", operator: operator as BinaryOperator, left, right, line }; // the table has no others
      }
    });
  }

  #operand(): Expression {
    const { kind, line } = this.#lexer;
    if (kind !== "not" && kind !== "-" && kind !== "#") return this.#simple();
    this.#lexer.next();
    const operand = this.#expression(UNARY_PRIORITY);
    if (kind === "-" && operand.kind === "number") return { kind: "number", value: -operand.value };
    return { kind: "unary", operator: kind, operand, line };
  }

  #simple(): Expression {
    const { kind, value, line } = this.#lexer;
    switch (kind) {
      case NUMBER:
        this.#lexer.next();
        return { kind: "number", value: value as number };
      case STRING:
        this.#lexer.next();
        return { kind: "string", value: value as string };
      case "nil":
      case "true":
      case "false":
        this.#lexer.next();
        return { kind };
      case "...":
        if (!this.#function.varargs) throw this.#lexer.error("cannot use '...' outside a vararg function");
        this.#function.usesVarargs = true;
        this.#lexer.next();
        return { kind: "varargs" };
      case "{":
        return this.#table();
      case "function":
        this.#lexer.next();
        return { kind: "function", body: this.#functionBody(line, false) };
      default:
        return this.#suffixed();
    }
  }

  #primary(): Expression {
    const { kind, line } = this.#lexer;
    if (kind === NAME) return this.#resolve(this.#name(), line);
    if (kind !== "(") throw this.#lexer.error("unexpected symbol");
    this.#lexer.next();
    const inner = this.#expression();
    this.#close(")", "(", line);
    return { kind: "single", inner };
  }

  #suffixed(): Expression {
    let expression = this.#primary();
    for (;;) {
      const { kind, line } = this.#lexer;
      if (kind === ".") {
        this.#lexer.next();
        expression = { kind: "index", object: expression, key: { kind: "string", value: this.#name() }, line };
      } else if (kind === "[") {
        this.#lexer.next();
        const key = this.#expression();
        this.#expect("]");
        expression = { kind: "index", object: expression, key, line };
      } else if (kind === ":") {
        this.#lexer.next();
        expression = this.#call(expression, this.#name());
      } else if (kind === "(" || kind === "{" || kind === STRING) expression = this.#call(expression, undefined);
      else return expression;
    }
  }

  #call(callee: Expression, method: string | undefined): Call {
    const { kind, line, value } = this.#lexer;
    if (kind === STRING) {
      this.#lexer.next();
      return { kind: "call", callee, method, args: [{ kind: "string", value: value as string }], line };
    }
    if (kind === "{") return { kind: "call", callee, method, args: [this.#table()], line };
    if (kind !== "(") throw this.#lexer.error("function arguments expected");
    if (line !== this.#lexer.lineBefore) throw this.#lexer.error("ambiguous syntax (function call x new statement)");
    this.#lexer.next();
    const args = this.#lexer.kind === ")" ? [] : this.#expressions();
    this.#close(")", "(", line);
    return { kind: "call", callee, method, args, line };
  }

  #table(): Expression {
    const { line } = this.#lexer;
    const items: Expression[] = [];
    const fields: (readonly [Expression, Expression])[] = [];
    let itemLast = true;
    this.#expect("{");
    while (this.#lexer.kind !== "}") {
      itemLast = false;
      if (this.#lexer.kind === NAME && this.#lexer.peek() === "=") {
        const key: Expression = { kind: "string", value: this.#name() };
        this.#lexer.next();
        fields.push([key, this.#expression()]);
      } else if (this.#accept("[")) {
        const key = this.#expression();
        this.#expect("]");
        this.#expect("=");
        fields.push([key, this.#expression()]);
      } else {
        items.push(this.#expression());
        itemLast = true;
      }
      if (!this.#accept(",") && !this.#accept(";")) break;
    }
    this.#close("}", "{", line);
    const inner = items.at(-1);
    // Only as the very last field does a call give all its values.
    if (!itemLast && inner !== undefined) items[items.length - 1] = { kind: "single", inner };
    return { kind: "table", items, fields, line };
  }

  #functionBody(line: number, method: boolean): FunctionBody {
    const outer = this.#function;
    const parameters = method ? ["self"] : [];
    let varargs = false;
    this.#expect("(");
    if (this.#lexer.kind !== ")")
      do {
        if (this.#accept("...")) {
          varargs = true;
          break;
        }
        if (this.#lexer.kind !== NAME) throw this.#lexer.error("<name> or '...' expected");
        parameters.push(this.#name());
      } while (this.#accept(","));
    this.#expect(")");
    const state = functionState(outer, line, varargs);
    this.#function = state;
    const variables = parameters.map((name) => this.#variable(name));
    for (const variable of variables) this.#declare(variable);
    if (varargs) {
      state.arg = this.#variable("arg");
      this.#declare(state.arg);
    }
    const body = this.#block();
    this.#close("end", "function", line);
    this.#function = outer;
    const arg = state.arg === undefined || !state.usesArg ? undefined : { variable: state.arg, filled: !state.usesVarargs };
    return { parameters: variables, varargs, arg, body };
  }
}

const functionState = (parent: FunctionState | undefined, line: number, varargs: boolean): FunctionState => ({
  parent,
  line,
  varargs,
  upvalues: new Set(),
  owned: new Set(),
  scope: { parent: parent?.scope, variables: new Map() },
  locals: 0,
  loops: 0,
  usesVarargs: false,
  arg: undefined,
  usesArg: false,
});
