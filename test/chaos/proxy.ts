import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** What is done to connections that move slots; those of clients pass. */
export type LinkFault = "black-hole" | "half-close" | "reset" | "trickle" | "freeze";
export const LINK_FAULTS: readonly LinkFault[] = ["black-hole", "half-close", "reset", "trickle", "freeze"];

const LINK = "MIGRATIONLINK";
const TRICKLE_MS = 1000;

/** Stands before a node: what it announces is this port. */
export interface Proxy extends AsyncDisposable {
  readonly port: number;
  /** Where it leads. */
  target: number;
  /** Of links that are there, and of those that come until `heal`; `afterBytes`: once so much has passed. */
  fault(kind: LinkFault, afterBytes: number): void;
  heal(): void;
}

interface Fault {
  readonly kind: LinkFault;
  readonly afterBytes: number;
}

export async function startProxy(): Promise<Proxy> {
  const pairs = new Set<Pair>();
  const shared = { target: 0 };
  let current: Fault | undefined;
  const server = createServer({ allowHalfOpen: true }, (outside) => {
    const pair = new Pair(outside, connect({ port: shared.target, host: "127.0.0.1", allowHalfOpen: true }), () => current);
    pairs.add(pair);
    pair.onEnd = () => pairs.delete(pair);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return Object.assign(shared, {
    port: (server.address() as AddressInfo).port, // a listening TCP server has one
    fault(kind: LinkFault, afterBytes: number) {
      current = { kind, afterBytes };
      for (const pair of pairs) pair.consider();
    },
    heal() {
      current = undefined;
      for (const pair of pairs) pair.heal();
    },
    async [Symbol.asyncDispose]() {
      server.close();
      for (const pair of pairs) pair.end();
    },
  });
}

class Pair {
  onEnd: () => void = () => {};
  readonly #outside: Socket;
  readonly #inside: Socket;
  readonly #fault: () => Fault | undefined;
  #isLink = false;
  #bytes = 0;
  #stopped = false;
  #ended = false;
  #trickle: NodeJS.Timeout | undefined;
  #held: { readonly to: Socket; bytes: Buffer }[] = [];

  constructor(outside: Socket, inside: Socket, fault: () => Fault | undefined) {
    this.#outside = outside;
    this.#inside = inside;
    this.#fault = fault;
    for (const [from, to] of [
      [outside, inside],
      [inside, outside],
    ] as const) {
      from.setNoDelay(true);
      from.on("data", (bytes) => this.#pass(from, to, bytes));
      to.on("drain", () => this.#stopped || from.resume());
      from.on("end", () => this.#stopped || to.end());
      from.on("error", () => this.end()).on("close", () => this.end());
    }
  }

  #pass(from: Socket, to: Socket, bytes: Buffer): void {
    if (!this.#isLink && this.#bytes < 4096 && bytes.includes(LINK)) this.#isLink = true;
    this.#bytes += bytes.length;
    if (this.#stopped) {
      this.#held.push({ to, bytes });
      from.pause();
      return;
    }
    if (!to.write(bytes)) from.pause();
    this.consider();
  }

  consider(): void {
    const fault = this.#fault();
    if (fault === undefined || !this.#isLink || this.#stopped || this.#bytes < fault.afterBytes) return;
    switch (fault.kind) {
      case "reset":
        this.#outside.resetAndDestroy();
        this.#inside.resetAndDestroy();
        return;
      case "half-close":
        this.#inside.end();
        this.#stopped = true;
        return;
      case "trickle":
        this.#stopped = true;
        this.#trickle = setInterval(() => this.#drop(), TRICKLE_MS);
        return;
      case "black-hole":
      case "freeze":
        this.#stopped = true;
    }
  }

  /** One byte a second, in one direction. */
  #drop(): void {
    const [first] = this.#held;
    if (first === undefined) return;
    first.to.write(first.bytes.subarray(0, 1));
    first.bytes = first.bytes.subarray(1);
    if (first.bytes.length === 0) this.#held.shift();
  }

  /** What was held comes late: nothing is lost, as on a network that comes back. */
  heal(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    clearInterval(this.#trickle);
    for (const { to, bytes } of this.#held.splice(0)) to.write(bytes);
    this.#outside.resume();
    this.#inside.resume();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#trickle);
    this.#outside.destroy();
    this.#inside.destroy();
    this.onEnd();
  }
}
