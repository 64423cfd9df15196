/** What a store is told to make worse, or good again. */
export type Order =
  /** The wall's clock of this process is ahead by so much. */
  | { readonly do: "clock"; readonly offsetMs: number }
  | { readonly do: "syncs"; readonly mode: "good" | "failed" | "lost" }
  /** Calls and answers of the register are late, as this seed says. */
  | { readonly do: "register"; readonly maxMs: number; readonly seed: number };
