/** The tree of a chunk. Lines are those where an error of the node is reported. */
export type Expression =
  | { readonly kind: "nil" | "true" | "false" | "varargs" }
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "function"; readonly body: FunctionBody }
  | { readonly kind: "local"; readonly variable: Variable; readonly upvalue: boolean }
  | { readonly kind: "global"; readonly name: string; readonly line: number }
  | { readonly kind: "index"; readonly object: Expression; readonly key: Expression; readonly line: number }
  | Call
  | {
      readonly kind: "binary";
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
      readonly line: number;
    }
  | { readonly kind: "and" | "or"; readonly left: Expression; readonly right: Expression }
  | { readonly kind: "unary"; readonly operator: "-" | "not" | "#"; readonly operand: Expression; readonly line: number }
  | {
      readonly kind: "table";
      readonly items: readonly Expression[];
      readonly fields: readonly (readonly [Expression, Expression])[];
      readonly line: number;
    }
  /** In parentheses: exactly one value. */
  | { readonly kind: "single"; readonly inner: Expression };

export type BinaryOperator = "+" | "-" | "*" | "/" | "%" | "^" | ".." | "==" | "~=" | "<" | "<=" | ">" | ">=";

/** `method` is the name behind a colon, the callee then its object. */
export interface Call {
  readonly kind: "call";
  readonly callee: Expression;
  readonly method: string | undefined;
  readonly args: readonly Expression[];
  readonly line: number;
}

export type Statement =
  | { readonly kind: "local"; readonly variables: readonly Variable[]; readonly values: readonly Expression[]; readonly line: number }
  | { readonly kind: "localFunction"; readonly variable: Variable; readonly body: FunctionBody }
  | { readonly kind: "assign"; readonly targets: readonly Expression[]; readonly values: readonly Expression[]; readonly line: number }
  | { readonly kind: "call"; readonly call: Call }
  | { readonly kind: "do"; readonly body: Block }
  | { readonly kind: "while"; readonly condition: Expression; readonly body: Block }
  | { readonly kind: "repeat"; readonly condition: Expression; readonly body: Block }
  | { readonly kind: "if"; readonly branches: readonly (readonly [Expression, Block])[]; readonly otherwise: Block | undefined }
  | {
      readonly kind: "count";
      readonly variable: Variable;
      readonly range: readonly Expression[];
      readonly body: Block;
      readonly line: number;
    }
  | {
      readonly kind: "each";
      readonly variables: readonly Variable[];
      readonly values: readonly Expression[];
      readonly body: Block;
      readonly line: number;
    }
  | { readonly kind: "return"; readonly values: readonly Expression[]; readonly line: number }
  | { readonly kind: "break" };

export type Block = readonly Statement[];

export interface Variable {
  readonly name: string;
  /** Unlike that of any other in the chunk. */
  readonly id: number;
}

export interface FunctionBody {
  readonly parameters: readonly Variable[];
  readonly varargs: boolean;
  /** The further arguments as Lua 5.0 had them, where `arg` is named: a table, or nil in functions that say `...`. */
  readonly arg: { readonly variable: Variable; readonly filled: boolean } | undefined;
  readonly body: Block;
}
