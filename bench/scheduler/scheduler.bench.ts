// The real scheduler and the real choice of pieces under a simulated network: N hosts with equal links want 1 GiB at once, and a seed reads
// the source, with --share others with it.
// How close does the last of them come to the fluid bound, what does the scheduler hear and say, and what does it cost?
// Flags: --peers 100,1000,10000 --rate 100 (Mbit/s) --pieces 512 --deaths 0 --share 1 --uplinks 1 (times the rate, in turn) --seed 1.
// Prints a table for people on standard error and one line of JSON.
import { parseArgs } from "node:util";
import { Crowd, type CrowdScenario } from "./crowd.ts";
import { DecisionTimes } from "./decision-times.ts";
import { heapBytes } from "./heap.ts";
import { SchedulerModel } from "./scheduler-model.ts";

const { values: flags } = parseArgs({
  options: {
    peers: { type: "string", default: "100,1000,10000" },
    deaths: { type: "string", default: "0" },
    share: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
    rate: { type: "string", default: "100" },
    pieces: { type: "string" },
    uplinks: { type: "string", default: "1" },
  },
});

const CONTENT_BYTES = 1024 ** 3;
/** Of the time that a piece takes on a whole link. */
const STEP_SHARE = 0.24;
const rate = (Number(flags.rate) * 1e6) / 8;

/** Fewer pieces where there are very many peers: the work grows with both. */
const piecesOf = (peers: number): number => (peers > 2000 ? 256 : 512);

// Before anything else leaves garbage behind.
const heapPerPeer = heapBytesPerPeer(10_000);
const rows = flags.peers.split(",").map((text) => measure(Number(text)));
for (const row of rows) {
  console.error(
    `${String(row.peers).padStart(6)} peers, ${row.pieces} pieces: last/bound ${row.ratioLast.toFixed(3)},` +
      ` median/bound ${row.ratioMedian.toFixed(3)};` +
      ` ${row.messagesPerPeer.toFixed(2)} messages per peer and task besides a heartbeat a second,` +
      ` ${row.copiesOfSeed.toFixed(2)} copies left the seed;` +
      ` decisions p50 ${row.p50Ms.toFixed(3)} ms, p99 ${row.p99Ms.toFixed(3)} ms; ${row.seconds.toFixed(0)} s`,
  );
}
console.error(`${heapPerPeer} bytes of heap for each host and its peer, with 10,000 of them`);
console.log(
  JSON.stringify({
    bench: "scheduler/scheduler",
    seed: Number(flags.seed),
    deaths: Number(flags.deaths),
    sourceShareMax: Number(flags.share),
    heapBytesPerPeer: heapPerPeer,
    megabitsPerSecond: Number(flags.rate),
    ratioLast: Math.max(...rows.map(({ ratioLast }) => ratioLast)),
    rows,
  }),
);

function measure(peers: number) {
  const pieces = flags.pieces === undefined ? piecesOf(peers) : Number(flags.pieces);
  const pieceMs = (CONTENT_BYTES * 1000) / pieces / rate;
  const scenario: CrowdScenario = {
    peers,
    pieces,
    contentBytes: CONTENT_BYTES,
    bytesPerSecond: rate,
    uplinks: flags.uplinks.split(",").map(Number),
    sourceFactor: 4,
    joinMs: 100,
    stepMs: Math.max(1, Math.round(pieceMs * STEP_SHARE)),
    deaths: Number(flags.deaths),
    sourceShareMax: Number(flags.share),
    seed: Number(flags.seed),
  };
  const startMs = performance.now();
  const crowd = new Crowd(scenario);
  crowd.run();
  const { messages } = crowd.scheduler;
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
    seconds: (performance.now() - startMs) / 1000,
  };
}

/** Of the scheduler alone, when all have come and have their neighbours. */
function heapBytesPerPeer(peers: number): number {
  const scheduler = new SchedulerModel(
    { contentLength: CONTENT_BYTES, pieceLength: CONTENT_BYTES / 512, pieceCount: 512 },
    new DecisionTimes(),
  );
  const before = heapBytes();
  const wires = Array.from({ length: peers }, (_, at) => scheduler.attach(at, false));
  for (const wire of wires) scheduler.register(wire, false);
  for (let second = 1; second <= 3; second++) {
    scheduler.nowMs = second * 1000;
    for (const [at, wire] of wires.entries()) scheduler.beat(at, wire, undefined);
    scheduler.tick();
  }
  return Math.round((heapBytes() - before) / scheduler.cluster.peers.size);
}
