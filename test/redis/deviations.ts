/** Tests of what is not so here, on purpose, and why: they are not run. */
export const DEVIATIONS: ReadonlyMap<string, string> = new Map([
  [
    "LATENCY of expire events are correctly collected",
    "expects that to expire a set of a million members stops the server for 20 ms; here it takes less than one, so that there is nothing to record",
  ],
  ...[
    "CONFIG SET oom-score-adj works as expected",
    "Turning off AOF kills the background writing child if any",
    "Temp rdb will be deleted if we use bg_unlink when shutdown",
    "Temp rdb will be deleted in signal handle",
  ].map(
    (name) => [name, "looks for the child process that writes a file, or for that file by the child's number; here nothing forks"] as const,
  ),
]);
