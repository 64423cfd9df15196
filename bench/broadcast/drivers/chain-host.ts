// chain-host.ts PORT PATH [ADDRESS [last]]: one link of a chain. Sends the file at PATH to whoever connects to PORT; with an address it
// waits for a line on standard input, receives the file from that address instead, sends it on (unless it is the last) and prints `done`.
import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { finished, pipeline } from "node:stream/promises";

const [port, path, address, last] = process.argv.slice(2);
const CHUNK_BYTES = 256 * 1024;
const server = createServer().listen(Number(port));

if (address === undefined) {
  server.on("connection", (next) => void pipeline(createReadStream(path!, { highWaterMark: CHUNK_BYTES }), next));
} else {
  const nextComes = last === undefined ? (once(server, "connection") as Promise<[Socket]>) : undefined;
  await once(process.stdin, "data");
  process.stdin.pause();
  const before = connect({ host: address, port: Number(port) });
  const copy = createWriteStream(path!, { highWaterMark: CHUNK_BYTES });
  const next = (await nextComes)?.[0];
  before.pipe(copy); // the slower of the two sets the pace
  if (next !== undefined) before.pipe(next);
  await finished(copy);
  console.log("done");
}
