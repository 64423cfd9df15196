import { DEVIATIONS } from "./deviations.ts";

/** What came of a test of the suite. */
export interface Outcome {
  readonly name: string;
  readonly verdict: "ok" | "err" | "ignored";
  /** Why it failed or was not run. */
  readonly reason: string | undefined;
}

export interface UnitResult {
  readonly unit: string;
  readonly outcomes: readonly Outcome[];
  readonly seconds: number;
}

export const countOf = (outcomes: readonly Outcome[], verdict: Outcome["verdict"]): number =>
  outcomes.filter((outcome) => outcome.verdict === verdict).length;

// oxlint-disable-next-line no-control-regex -- the suite colours its output
const COLORS = /\u001B\[[0-9;]*m/g;
const REASON_CHARS_MAX = 200;

/** Reads the output of the suite. A unit that did not end has failed, whatever it printed before. */
export function parseOutcomes(colored: string): Outcome[] {
  const output = colored.replaceAll(COLORS, "");
  const lines = output.split("\n");
  const ended = output.includes("Execution time of different units") && !output.includes("[TIMEOUT]");
  const outcomes = lines.flatMap((line, index): Outcome[] => {
    const found = /^\[(ok|err|exception|ignore|skip)\]: (.*)$/.exec(line);
    if (found === null) return [];
    const [, kind, text] = found as unknown as [string, string, string];
    if (kind === "ok") return [{ name: text.replace(/ \(\d+ ms\)$/, ""), verdict: "ok", reason: undefined }];
    if (kind === "skip") return [{ name: text, verdict: "ignored", reason: DEVIATIONS.get(text) }];
    if (kind === "ignore") {
      const split = text.lastIndexOf(": ");
      return [
        { name: split < 0 ? "(whole file)" : text.slice(0, split), verdict: "ignored", reason: split < 0 ? text : text.slice(split + 2) },
      ];
    }
    const reason = (lines[index + 1] ?? "").trim().slice(0, REASON_CHARS_MAX);
    return [{ name: text.replace(/ in tests\/\S+$/, ""), verdict: "err", reason: reason === "" ? undefined : reason }];
  });
  if (ended) return outcomes;
  const running = /\(IN PROGRESS\) (.*)$/m.exec(output)?.[1];
  return [...outcomes, { name: running ?? "(end of the unit)", verdict: "err", reason: "did not end" }];
}
