import { readFileSync, writeFileSync } from "node:fs";
import { CommandError } from "../command-error.ts";
import type { ParameterValues } from "../parameters/parameters.ts";

/** Where Linux keeps how readily it ends this process when memory is short. */
const FILE = "/proc/self/oom_score_adj";
const SCORE_MAX = 1000;

/** Sets the process's score by `oom-score-adj`, and gives it back when that is switched off. */
export class OomScore {
  /** As it was before this store changed it. */
  #before: number | undefined;

  /** Throws a `CommandError` where the system does not let it. */
  apply(parameters: ParameterValues, isReplica: boolean): void {
    const mode = parameters["oom-score-adj"];
    if (mode === "no" && this.#before === undefined) return;
    this.#before ??= Number(readFileSync(FILE, "latin1"));
    const value = Number(parameters["oom-score-adj-values"].split(" ")[isReplica ? 1 : 0]);
    const score = mode === "no" ? this.#before : mode === "absolute" ? value : this.#before + value;
    try {
      writeFileSync(FILE, String(Math.max(-SCORE_MAX, Math.min(SCORE_MAX, score))));
    } catch {
      throw new CommandError("Failed to set the score: the system does not allow it");
    }
    if (mode === "no") this.#before = undefined;
  }
}
