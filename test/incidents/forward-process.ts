import { connect, createServer, type Socket } from "node:net";

// A process in a network of its own: takes connections at an address there, and passes each to a Unix socket, which no network divides.
// Arguments: host, path. Prints the port.

const [host = "", path = ""] = process.argv.slice(2);
const server = createServer((outside) => join(outside, connect(path)));
server.listen(0, host, () => console.log((server.address() as { readonly port: number }).port)); // listening on TCP

function join(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const)
    from
      .on("error", () => to.destroy())
      .on("close", () => to.destroy())
      .pipe(to);
}
