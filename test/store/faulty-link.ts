import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** A link between two servers that can be cut, or swallow everything as a network that has failed does. */
export interface FaultyLink extends AsyncDisposable {
  /** Where it listens. */
  readonly port: number;
  /** Where it leads. */
  target: number;
  /** Whether it passes on what it gets: nothing is lost, and nothing comes, until it does again or is cut. */
  passes(open: boolean): void;
  /** Ends all connections at once. */
  cut(): void;
}

export async function startFaultyLink(): Promise<FaultyLink> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let isOpen = true;
  const link = { target: 0 };
  const server = createServer((outside) => {
    const inside = connect(link.target, "127.0.0.1");
    const pair = [outside, inside] as const;
    pairs.add(pair);
    const end = (): void => {
      pairs.delete(pair);
      outside.destroy();
      inside.destroy();
    };
    for (const [from, to] of [pair, [inside, outside]] as const) {
      from.on("data", (bytes) => {
        if (!to.write(bytes)) from.pause();
      });
      to.on("drain", () => isOpen && from.resume());
      from.on("error", end).on("close", end);
      if (!isOpen) from.pause();
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = (): void => {
    for (const pair of pairs) for (const socket of pair) socket.destroy();
  };
  return Object.assign(link, {
    port: (server.address() as AddressInfo).port, // a listening TCP server has one
    passes: (open: boolean) => {
      isOpen = open;
      for (const socket of [...pairs].flat()) {
        if (open) socket.resume();
        else socket.pause();
      }
    },
    cut,
    [Symbol.asyncDispose]: async () => {
      server.close();
      cut();
    },
  });
}
