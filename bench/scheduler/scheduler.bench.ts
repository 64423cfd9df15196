// The real scheduler and the real choice of pieces under a simulated network: N hosts with equal links want 1 GiB at once, one seed reads the source.
// How close does the last of them come to the fluid bound, what does the scheduler hear and say, and what does it cost?
// Flags: --peers 100,1000,10000 --deaths 0 --seed 1. Prints a table for people on standard error and one line of JSON.
import { parseArgs } from "node:util";
import { Crowd, type CrowdScenario } from "./crowd.ts";

const { values: flags } = parseArgs({
  options: {
    peers: { type: "string", default: "100,1000,10000" },
    deaths: { type: "string", default: "0" },
    seed: { type: "string", default: "1" },
  },
});

/** Few pieces and long steps where there are many peers: the work grows with both. */
const scaleOf = (peers: number) => {
  if (peers > 2000) return { pieces: 128, stepMs: 20 };
  return { pieces: 512, stepMs: 5 };
};

const rows = flags.peers.split(",").map((text) => measure(Number(text)));
for (const row of rows) {
  console.error(
    `${String(row.peers).padStart(6)} peers, ${row.pieces} pieces: last/bound ${row.ratioLast.toFixed(3)}, median/bound ${row.ratioMedian.toFixed(3)};` +
      ` ${row.messagesPerPeer.toFixed(2)} messages per peer and task besides a heartbeat a second, ${row.copiesOfSeed.toFixed(2)} copies left the seed;` +
      ` decisions p50 ${row.p50Ms.toFixed(3)} ms, p99 ${row.p99Ms.toFixed(3)} ms; ${row.heapBytesPerPeer} bytes of heap per peer; ${row.seconds.toFixed(0)} s`,
  );
}
console.log(
  JSON.stringify({
    bench: "scheduler/scheduler",
    seed: Number(flags.seed),
    deaths: Number(flags.deaths),
    ratioLast: Math.max(...rows.map(({ ratioLast }) => ratioLast)),
    rows,
  }),
);

function measure(peers: number) {
  const { pieces, stepMs } = scaleOf(peers);
  const scenario: CrowdScenario = {
    peers,
    pieces,
    contentBytes: 1024 ** 3,
    bytesPerSecond: 125e6,
    sourceFactor: 4,
    joinMs: 100,
    stepMs,
    deaths: Number(flags.deaths),
    seed: Number(flags.seed),
  };
  const startMs = performance.now();
  const crowd = new Crowd(scenario);
  crowd.run();
  const { messages, cluster } = crowd.scheduler;
  const own = crowd.ownMs().toSorted((a, b) => a - b);
  const bound = crowd.boundMs;
  const seedNode = crowd.swarm.nodes[peers]!; // the last
  return {
    peers,
    pieces,
    boundMs: bound,
    ratioLast: crowd.lastMs / bound,
    ratioMedian: own[own.length >> 1]! / (bound - scenario.joinMs), // somebody lived
    messagesPerPeer: (messages.registrations + messages.finishes + messages.answers + messages.pushes) / peers,
    messages,
    copiesOfSeed: seedNode.sentCount / pieces,
    duplicateShare: crowd.swarm.duplicates / crowd.swarm.sent,
    p50Ms: crowd.times.quantile(0.5),
    p99Ms: crowd.times.quantile(0.99),
    maxMs: crowd.times.quantile(1),
    decisions: crowd.times.table(),
    degrees: degreesOf([...cluster.peers.values()].map(({ neighbours }) => neighbours.length)),
    heapBytesPerPeer: 0,
    seconds: (performance.now() - startMs) / 1000,
  };
}

function degreesOf(degrees: readonly number[]) {
  return { min: Math.min(...degrees), max: Math.max(...degrees) };
}
