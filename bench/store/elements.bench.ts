// What an element takes in memory beside Debian's redis-server: of lists, hashes, sets and sorted sets, in many values of 16 elements (the key is counted with them)
// and in a few of 100,000. Flags: --elements 1000000. Prints a table for people on standard error, and one line of JSON. A ratio above 1: less than Redis.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { installStoreBenchPackages } from "../../scripts/setup.ts";
import { feed } from "./feed.ts";
import { SHAPES, shapeCommands, type Shape } from "./fills.ts";
import { startServer, type ServerName } from "./servers.ts";

const { values: flags } = parseArgs({ options: { elements: { type: "string", default: "1000000" } } });
const elements = Number(flags.elements);
/** Of the elements, before those that count, and deleted again: what a server needs once for all of them is not theirs. */
const FIRST_PART = 0.02;

if (!installStoreBenchPackages()) process.exit(1);
await using scope = new AsyncDisposableStack();
const directory = mkdtempSync(join(tmpdir(), "anax-bench-store-"));
scope.defer(() => rmSync(directory, { recursive: true }));

async function bytesPerElement(name: ServerName, shape: Shape): Promise<number> {
  await using server = await startServer(name, join(directory, name));
  await feed(server.port, shapeCommands(shape, elements * FIRST_PART));
  await server.call("FLUSHALL");
  const before = server.memory();
  await feed(server.port, shapeCommands(shape, elements));
  return (server.memory() - before) / elements;
}

const rows = [];
for (const shape of SHAPES) {
  const [redis, anax] = [await bytesPerElement("redis", shape), await bytesPerElement("anax", shape)];
  const row = {
    ...shape,
    elements,
    bytesPerElement: { redis: Number(redis.toFixed(1)), anax: Number(anax.toFixed(1)) },
    ratio: Number((redis / anax).toFixed(3)),
  };
  rows.push(row);
  console.error(
    `${shape.kind}, ${shape.size}: ${redis.toFixed(1)} bytes per element in Redis, ${anax.toFixed(1)} here, ratio ${row.ratio.toFixed(2)}`,
  );
}
console.log(JSON.stringify({ bench: "store/elements", rows }));
