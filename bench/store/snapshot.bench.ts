// The same data saved by the store and by Debian's redis-server: SAVE, and BGSAVE while a client asks for keys 1,000 times a second. Strings of 32 bytes, and a tenth
// as many elements of each kind of value. Flags: --keys 1000000 --rounds 3. Prints a table for people on standard error, and one line of JSON with the medians, and
// the longest wait of all rounds.
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { installStoreBenchPackages } from "../../scripts/setup.ts";
import { waitFor } from "../../test/kit/process.ts";
import { median } from "../kit/process.ts";
import { feed } from "./feed.ts";
import { SHAPES, shapeCommands, stringCommands } from "./fills.ts";
import { pinToLoadCore } from "./load.ts";
import { pacedGets, type Paced } from "./paced-gets.ts";
import { startServer, type Server, type ServerName } from "./servers.ts";

const { values: flags } = parseArgs({
  options: { keys: { type: "string", default: "1000000" }, rounds: { type: "string", default: "3" } },
});
const [keys, rounds] = [Number(flags.keys), Number(flags.rounds)];
const VALUE_BYTES = 32;
const PROBES = { perSecond: 1000, connections: 1, keys } as const;
const IDLE_MS = 2000;
const TAKES_MS_MAX = 120_000;

interface Row {
  readonly command: "SAVE" | "BGSAVE";
  readonly server: ServerName;
  readonly fileBytes: number;
  readonly seconds: number;
  /** MB (10⁶ bytes) of the file. */
  readonly megabytesPerSecond: number;
  /** What a client has waited at most: all of it for SAVE. */
  readonly longestPauseMs: number;
  /** The same client, nothing being saved. */
  readonly idlePauseMs: number;
}

if (!installStoreBenchPackages()) process.exit(1);
await pinToLoadCore();
await using scope = new AsyncDisposableStack();
const directory = mkdtempSync(join(tmpdir(), "anax-bench-store-"));
scope.defer(() => rmSync(directory, { recursive: true }));

/** Runs something while a client asks, and for how long it took. */
async function whileAsking(server: Server, work: () => Promise<unknown>): Promise<Paced & { readonly seconds: number }> {
  const controller = new AbortController();
  const asking = pacedGets({ ...PROBES, port: server.port, signal: controller.signal });
  const beganMs = performance.now();
  try {
    await work();
  } finally {
    controller.abort();
  }
  return { seconds: (performance.now() - beganMs) / 1000, ...(await asking) };
}

async function backgroundSave(server: Server): Promise<void> {
  const said = await server.call("BGSAVE");
  if (!said.startsWith("+")) throw new Error(`${server.name} said to BGSAVE: ${said}`);
  await waitFor(async () => (await server.call("INFO", "persistence")).includes("rdb_bgsave_in_progress:0"), TAKES_MS_MAX);
}

async function save(server: Server): Promise<void> {
  const said = await server.call("SAVE");
  if (!said.startsWith("+OK")) throw new Error(`${server.name} said to SAVE: ${said}`);
}

async function measure(name: ServerName): Promise<readonly Row[]> {
  const data = join(directory, name);
  await using server = await startServer(name, data);
  await feed(server.port, stringCommands(keys, VALUE_BYTES));
  for (const shape of SHAPES) await feed(server.port, shapeCommands(shape, keys / 10));
  const saved = (await server.call("CONFIG", "GET", "dir")).split("\r\n")[4]!; // after the name
  const idlePauseMs = (await whileAsking(server, () => sleep(IDLE_MS))).maxMs;
  const row = async (command: Row["command"], work: () => Promise<void>): Promise<Row> => {
    const ran = [];
    for (let round = 0; round < rounds; round++) ran.push(await whileAsking(server, work));
    const seconds = median(ran.map((each) => each.seconds));
    const fileBytes = statSync(join(saved, "dump.rdb")).size;
    const longestPauseMs = Math.max(...ran.map((each) => each.maxMs));
    return {
      command,
      server: name,
      fileBytes,
      seconds: Number(seconds.toFixed(2)),
      megabytesPerSecond: Number((fileBytes / 1e6 / seconds).toFixed(1)),
      longestPauseMs,
      idlePauseMs,
    };
  };
  return [await row("BGSAVE", () => backgroundSave(server)), await row("SAVE", () => save(server))];
}

const rows: Row[] = [];
for (const name of ["redis", "anax"] as const)
  for (const row of await measure(name)) {
    rows.push(row);
    console.error(
      `${row.command} of ${name}: ${row.seconds} s, ${row.megabytesPerSecond} MB/s, longest pause ${row.longestPauseMs.toFixed(1)} ms (idle ${row.idlePauseMs.toFixed(1)} ms)`,
    );
  }
console.log(JSON.stringify({ bench: "store/snapshot", rows }));
