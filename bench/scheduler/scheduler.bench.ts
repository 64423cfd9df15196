// The real scheduler and the real choice of pieces under a simulated network: N hosts with equal links want 1 GiB at once, and a seed reads
// the source, with --share others with it.
// How close does the last of them come to the fluid bound, what does the scheduler hear and say, and what does it cost?
// Flags: --peers 100,1000,10000 --mib 1024 (one for all, or one for each of --peers) --rate 100 (Mbit/s) --deaths 0 --share 1
// --uplinks 1 (times the rate, in turn) --seed 1.
// 10,000 hosts and 1 GiB take many minutes of processor time. With less content pieces stay as large as those of 1 GiB: the first and the
// last of them take as long, and so the ratio is worse than that of 1 GiB, never better.
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
    mib: { type: "string", default: "1024" },
    uplinks: { type: "string", default: "1" },
  },
});

const MIB = 1024 ** 2;
/** Of 1 GiB, as daemons cut it. */
const PIECE_BYTES = 2 * MIB;
/** Of the time that a piece takes on a whole link. */
const STEP_SHARE = 0.24;
const rate = (Number(flags.rate) * 1e6) / 8;

// Before anything else leaves garbage behind.
const heapPerPeer = heapBytesPerPeer(10_000);
const mib = flags.mib.split(",").map(Number);
const rows = flags.peers.split(",").map((text, at) => measure(Number(text), (mib[at] ?? mib[0]!) * MIB)); // there is one at least
for (const row of rows) {
  console.error(
    `${String(row.peers).padStart(6)} peers, ${row.mib} MiB, ${row.pieces} pieces: last/bound ${row.ratioLast.toFixed(3)}` +
      ` (${(row.lateMs / 1000).toFixed(2)} s later),` +
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

function measure(peers: number, contentBytes: number) {
  const pieces = contentBytes / PIECE_BYTES;
  const pieceMs = (PIECE_BYTES * 1000) / rate;
  const scenario: CrowdScenario = {
    peers,
    pieces,
    contentBytes,
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
    mib: contentBytes / MIB,
    pieces,
    boundMs: bound,
    lateMs: crowd.lastMs - bound,
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
    { contentLength: 512 * PIECE_BYTES, pieceLength: PIECE_BYTES, pieceCount: 512 },
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
