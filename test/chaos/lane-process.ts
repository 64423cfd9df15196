import { startCluster, type ChaosCluster } from "./cluster.ts";
import { Round, type RoundOutcome } from "./round.ts";

// Runs rounds one after the other: a job for each comes over the channel of the parent, and its outcome goes back.

/** So many rounds of one cluster: to make one takes as long as a round. */
const ROUNDS_MAX = 20;

export interface LaneJob {
  readonly seed: number;
  readonly ms: number;
  readonly only: readonly string[];
  readonly verbose: boolean;
  readonly server: string;
}

export interface LaneOutcome extends RoundOutcome {
  readonly seed: number;
  /** Rounds that the same cluster had before. */
  readonly before: number;
}

let cluster: ChaosCluster | undefined;
let rounds = 0;

async function run({ seed, ms, only, verbose, server }: LaneJob): Promise<LaneOutcome> {
  if (rounds >= ROUNDS_MAX) await giveUp();
  cluster ??= await startCluster(server);
  const say = (text: string): void => {
    if (verbose) console.log(`    ${seed} ${Math.round(performance.now())} ${text}`);
  };
  const outcome = await new Round(cluster, { seed, ms, only, say }).run();
  const before = rounds++;
  if (outcome.violations.length > 0) await giveUp();
  return { seed, before, ...outcome };
}

async function giveUp(): Promise<void> {
  rounds = 0;
  await cluster?.[Symbol.asyncDispose]();
  cluster = undefined;
}

process.on("message", (job: LaneJob) => {
  run(job).then(
    (outcome) => process.send!(outcome), // it has a channel: the job came over it
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => void giveUp().finally(() => process.exit()));
