import { parseArgs } from "node:util";
import { formatBytes } from "../../src/base/units.ts";
import { printTable } from "../../src/cli/table.ts";
import { COLLECTION } from "./collection.ts";
import { CONTAINERS } from "./containers.ts";
import { DISKS } from "./disks.ts";
import { happen, type Incident, type Result } from "./incident.ts";
import { MEMORY } from "./memory.ts";
import { NODES } from "./nodes.ts";
import { PARTITIONS } from "./partitions.ts";
import { RESTARTS } from "./restarts.ts";
import { SOCKETS } from "./sockets.ts";
import { UPLOADS } from "./uploads.ts";

// npm run test:incidents [-- name...] [-- --list]: each incident, or those whose name contains a word. One at a time: they share a machine.

const { values, positionals } = parseArgs({ options: { list: { type: "boolean", default: false } }, allowPositionals: true });
const all: readonly Incident[] = [
  ...RESTARTS,
  ...MEMORY,
  ...UPLOADS,
  ...SOCKETS,
  ...NODES,
  ...PARTITIONS,
  ...DISKS,
  ...COLLECTION,
  ...CONTAINERS,
];
const chosen = all.filter(({ name }) => positionals.length === 0 || positionals.some((word) => name.includes(word)));
if (values.list) for (const { name, fault } of chosen) console.log(`${name}: ${fault}`);
else process.exitCode = await runAll(chosen);

async function runAll(incidents: readonly Incident[]): Promise<number> {
  const results: Result[] = [];
  for (const incident of incidents) {
    const result = await happen(incident);
    results.push(result);
    console.log(`${result.verdict.padEnd(7)} ${incident.name}${result.reason === undefined ? "" : `: ${result.reason}`}`);
  }
  console.log();
  printTable(
    ["INCIDENT", "FAULT", "RECOVERED", "FROM ORIGIN", "RESULT", "NOTE"],
    results.map(({ incident, verdict, recoverSeconds, originBytes, note }) => [
      incident.name,
      incident.fault,
      recoverSeconds === undefined ? "-" : `${recoverSeconds.toFixed(2)} s`,
      originBytes === undefined ? "-" : formatBytes(originBytes),
      verdict,
      note ?? "",
    ]),
    [2, 3],
  );
  const count = (verdict: Result["verdict"]): number => results.filter((result) => result.verdict === verdict).length;
  console.log(`${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`);
  return count("failed") > 0 ? 1 : 0;
}
