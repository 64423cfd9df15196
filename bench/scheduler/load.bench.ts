// One scheduler process under the load of a big cluster: 10,000 hosts, 100 hot tasks of 100 peers each and one that every host wants, all
// registered at 5,000 a second beside 10,000 heartbeats a second that tell of progress, and the ticks. Each call of `step` is timed.
// Flags: --hosts 10000 --tasks 100 --peers 100 --rate 5000. Prints a table for people on standard error and one line of JSON.
import { parseArgs } from "node:util";
import { DecisionTimes } from "./decision-times.ts";
import { heapBytes } from "./heap.ts";
import { LoadModel } from "./load-model.ts";

const { values: flags } = parseArgs({
  options: {
    hosts: { type: "string", default: "10000" },
    tasks: { type: "string", default: "100" },
    peers: { type: "string", default: "100" },
    rate: { type: "string", default: "5000" },
  },
});
const load = {
  hosts: Number(flags.hosts),
  tasks: Number(flags.tasks),
  peersPerTask: Number(flags.peers),
  registrationsPerSecond: Number(flags.rate),
};

const heapBefore = heapBytes();
const model = new LoadModel(load, new DecisionTimes());
model.attachHosts();
const heapWithHosts = heapBytes();
model.registerAll();
const heapWithPeers = heapBytes();
model.trade(5);
model.finishAll();
const { times, registrations } = model;
const seconds = times.cpuMs("peerRegistered") / 1000;
const result = {
  bench: "scheduler/load",
  ...load,
  registrations,
  registrationsPerSecondOfStep: Math.round(registrations / seconds),
  busyShare: model.busyShare(),
  p50Ms: times.quantile(0.5),
  p99Ms: times.quantile(0.99),
  maxMs: times.quantile(1),
  heapBytesPerHost: Math.round((heapWithHosts - heapBefore) / load.hosts),
  heapBytesPerPeer: Math.round((heapWithPeers - heapWithHosts) / registrations),
  kinds: times.table(),
};
for (const [kind, row] of Object.entries(result.kinds))
  console.error(
    `${kind.padEnd(16)} ${String(row.count).padStart(8)} calls, mean ${row.meanMs.toFixed(4)} ms of processor time,` +
      ` p99 ${row.p99Ms.toFixed(3)}, max ${row.maxMs.toFixed(2)}`,
  );
console.error(
  `${result.registrationsPerSecondOfStep} registrations for each second of processor time,` +
    ` ${(100 * result.busyShare).toFixed(0)} % of a processor at this load, p99 ${result.p99Ms.toFixed(3)} ms,` +
    ` ${result.heapBytesPerPeer} bytes of heap per peer, ${result.heapBytesPerHost} per host`,
);
console.log(JSON.stringify(result));
