export interface TapResult {
  /** As many as planned: those that were never reached have failed, too. */
  readonly assertions: number;
  readonly failures: readonly string[];
}

/** Reads the Test Anything Protocol of one file: a plan, and `ok` or `not ok` for each assertion; those marked as not expected to pass do not count as failed. */
export function parseTap(text: string): TapResult {
  let [planned, seen] = [0, 0];
  const failures: string[] = [];
  for (const line of text.split("\n")) {
    const plan = /^1\.\.(\d+)/.exec(line);
    if (plan !== null) planned = Number(plan[1]);
    if (!/^(not )?ok\b/.test(line)) continue;
    seen++;
    if (line.startsWith("not ok") && !/# (to-?do|skip)/i.test(line)) failures.push(line);
  }
  for (let missing = seen; missing < planned; missing++) failures.push(`not reached: assertion ${missing + 1} of ${planned}`);
  return { assertions: Math.max(planned, seen), failures };
}
