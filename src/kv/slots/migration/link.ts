import { createConnection, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Client } from "../../clients/client.ts";
import { tlsClientOptions } from "../../clients/tls.ts";
import { commandBytes } from "../../propagation.ts";
import type { Store } from "../../store.ts";
import { decodeFrame, encodeFrame } from "./frames.ts";
import type { Frame } from "./types.ts";

/** Its target's frames are short. */
const ANSWER_BYTES_MAX = 64 * 1024;
/** What may wait to be sent before the other side has taken the connection over: `init`, and perhaps `cancel`. */
const EARLY_FRAMES_MAX = 8;
/** What was sent last has so long to leave. */
const DRAIN_MS = 200;
export const LINK_VERSION = "1";
const NO_PAYLOAD = Buffer.alloc(0);
/** Before the frame's length. */
const DATA_COMMAND = "*3\r\n$7\r\nCLUSTER\r\n$14\r\nMIGRATIONFRAME\r\n";

export type LinkState = "open" | "draining" | "closed";

export interface MigrationLink {
  readonly attempt: number;
  /** Nothing happens once it is not open. */
  send(frame: Frame): void;
  /** Nothing is read or sent from now on. */
  close(): void;
}

export interface LinkEvents {
  frame(frame: Frame): void;
  /** Nothing reads the payload of a data frame any more. */
  sent(payload: Buffer): void;
  /** Once, and not after `close`. */
  lost(reason: string): void;
}

export interface LinkTarget {
  readonly host: string;
  readonly port: number;
}

/**
 * The source's connection to the target, for one attempt. It owns its socket: every read and write passes through here, and from the moment when it is not open any more nothing is handed on, whatever
 * still comes of the socket, and nothing taken. `close` lets what was sent last leave for a moment, and waits for nothing.
 */
export class SourceLink implements MigrationLink {
  readonly attempt: number;
  readonly #store: Store;
  readonly #events: LinkEvents;
  readonly #socket: Socket;
  readonly #bytesMax: number;
  #state: LinkState = "open";
  /** Questions that were not answered. */
  readonly #questions: (readonly string[])[] = [];
  #early: Buffer[] | undefined = [];
  #rest: Buffer = Buffer.alloc(0);

  /** `bytesMax`: that may wait to be sent. Throws where certificates cannot be used. */
  constructor(
    store: Store,
    to: LinkTarget,
    options: { readonly attempt: number; readonly bytesMax: number; readonly self: string },
    events: LinkEvents,
  ) {
    this.#store = store;
    this.attempt = options.attempt;
    this.#bytesMax = options.bytesMax;
    this.#events = events;
    const { parameters } = store;
    const { masteruser, masterauth } = parameters;
    if (masterauth !== "") this.#questions.push(masteruser === "" ? ["AUTH", masterauth] : ["AUTH", masteruser, masterauth]);
    this.#questions.push(["CLUSTER", "MIGRATIONLINK", LINK_VERSION, options.self]);
    const isSecure = parameters["tls-replication"];
    const at = { ...to, localAddress: parameters["bind-source-addr"] || undefined };
    const socket = (this.#socket = isSecure ? connectTls({ ...at, ...tlsClientOptions(parameters) }) : createConnection(at));
    socket.setNoDelay(true);
    socket.on(isSecure ? "secureConnect" : "connect", () => this.#ask());
    socket.on("data", (bytes) => this.#received(bytes));
    socket.on("error", (error) => this.#lost(error.message));
    socket.on("close", () => {
      this.#lost("the connection was closed");
      this.#state = "closed";
    });
  }

  get state(): LinkState {
    return this.#state;
  }

  send(frame: Frame): void {
    if (this.#state !== "open") return;
    if (frame.kind === "data" && this.#early === undefined) this.#sendData(frame);
    else this.#sendWhole(commandBytes("CLUSTER", "MIGRATIONFRAME", encodeFrame(frame)));
  }

  /** The payload is not copied. */
  #sendData(frame: Frame & { readonly kind: "data" }): void {
    const payload = frame.payload as Buffer; // what the walk, or a write, has made
    const head = encodeFrame({ ...frame, payload: NO_PAYLOAD });
    const socket = this.#socket;
    socket.cork();
    socket.write(`${DATA_COMMAND}$${head.length + payload.length}\r\n`, "latin1");
    socket.write(head);
    socket.write(payload, () => this.#events.sent(payload));
    socket.write("\r\n", "latin1");
    socket.uncork();
    if (socket.writableLength > this.#bytesMax) this.#lost("too much waits to be sent");
  }

  #sendWhole(bytes: Buffer): void {
    if (this.#early === undefined) this.#socket.write(bytes);
    else if (this.#early.length < EARLY_FRAMES_MAX) this.#early.push(bytes);
    if (this.#socket.writableLength > this.#bytesMax) this.#lost("too much waits to be sent");
  }

  close(): void {
    if (this.#state !== "open") return;
    this.#state = "draining";
    const timer = this.#store.clock.timer(DRAIN_MS, () => this.#destroy());
    this.#socket.end(() => {
      timer[Symbol.dispose]();
      this.#destroy();
    });
  }

  #destroy(): void {
    this.#state = "closed";
    this.#socket.destroy();
  }

  #lost(reason: string): void {
    if (this.#state !== "open") return;
    this.#destroy();
    this.#events.lost(reason);
  }

  #ask(): void {
    const [question] = this.#questions;
    if (this.#state === "open" && question !== undefined) this.#socket.write(commandBytes(...question));
  }

  #received(bytes: Buffer): void {
    if (this.#state !== "open") return;
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    try {
      while (this.#state === "open" && this.#answer());
    } catch (error) {
      this.#lost((error as Error).message);
    }
  }

  /** Takes one answer; false: it is not whole yet. */
  #answer(): boolean {
    const rest = this.#rest;
    const end = rest.indexOf("\r\n");
    if (end < 0 || end > 512) {
      if (rest.length > 512) throw new Error("the target's answer is too long");
      return false;
    }
    const line = rest.toString("latin1", 0, end);
    if (line.startsWith("$")) return this.#frame(Number(line.slice(1)), end + 2);
    this.#rest = rest.subarray(end + 2);
    if (!line.startsWith("+")) throw new Error(`the target refuses: ${line.slice(1, 200)}`);
    this.#questions.shift();
    if (this.#questions.length > 0) this.#ask();
    else {
      for (const early of this.#early ?? []) this.#socket.write(early);
      this.#early = undefined;
    }
    return true;
  }

  #frame(length: number, from: number): boolean {
    if (!(length >= 0 && length <= ANSWER_BYTES_MAX)) throw new Error("the target's answer is no frame");
    if (this.#rest.length < from + length + 2) return false;
    const frame = decodeFrame(this.#rest.subarray(from, from + length));
    this.#rest = this.#rest.subarray(from + length + 2);
    this.#events.frame(frame);
    return true;
  }
}

/** The target's end: a client that has said it is one. */
export class TargetLink implements MigrationLink {
  readonly attempt: number;
  readonly #client: Client;
  #state: LinkState = "open";

  constructor(client: Client, attempt: number) {
    this.#client = client;
    this.attempt = attempt;
  }

  isOf(client: Client): boolean {
    return this.#client === client;
  }

  send(frame: Frame): void {
    if (this.#state === "open") this.#client.pushes((reply) => reply.bulkBytes(encodeFrame(frame)));
  }

  /** After what was sent last. */
  close(): void {
    if (this.#state !== "open") return;
    this.#state = "closed";
    const { output, store } = this.#client;
    output.close();
    store.clock.timer(DRAIN_MS, () => output.drop?.());
  }
}
