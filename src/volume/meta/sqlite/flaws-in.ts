import { DatabaseSync } from "node:sqlite";
import type { Flaw } from "../ledger.ts";
import { CHECKS } from "./checks.ts";

/** All flaws of one kind, of a copy that nobody writes to. */
export function* flawsIn(path: string, kind: keyof typeof CHECKS): Iterable<Flaw> {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    for (const row of database.prepare(CHECKS[kind] ?? "").iterate())
      yield { kind, id: Number(row["id"]), found: Number(row["found"]), expected: Number(row["expected"]) };
  } finally {
    database.close();
  }
}
