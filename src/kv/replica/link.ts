import { createConnection, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Request } from "../../wire/resp/request.ts";
import type { Log } from "../../base/log.ts";
import type { Client, Peer } from "../clients/client.ts";
import { tlsClientOptions } from "../clients/tls.ts";
import { applyCommand } from "../dispatch.ts";
import { commandBytes } from "../propagation.ts";
import type { Store } from "../store.ts";
import { Handshake } from "./handshake.ts";
import { SnapshotReceiver } from "./snapshot-receiver.ts";
import { UnitReader } from "./unit-reader.ts";

/** How long it takes until the next try, after one that failed. */
const RETRY_MS = 1000;
/** Applied in one go; then others have their turn. */
const SLICE_MS = 5;
const UNITS_PER_LOOK = 16;
const ACK_EVERY_MS = 1000;

export interface PrimaryAddress {
  readonly host: string;
  readonly port: number;
}

/** What came of asking to go on. */
export interface LinkEvents {
  /** This primary is to become one only by being asked. */
  asksToLead(): boolean;
  /** It has agreed, or told why not. */
  answered(refusal: string | undefined): void;
  /** The history is another one: this is its name and the offset of the snapshot that follows. */
  restarted(id: string, offset: number): void;
  /** The history goes on; under another name, if one is given. */
  continued(id: string | undefined): void;
  /** Bytes of the history that were applied. */
  applied(bytes: Buffer): void;
}

export type LinkState = "connect" | "connecting" | "handshake" | "sync" | "connected";

/** The connection to the server that is followed: it asks to go on where it was, gets a snapshot if it cannot, applies what comes, and when it breaks begins again. */
export class Link implements Disposable {
  readonly address: PrimaryAddress;
  readonly #store: Store;
  readonly #log: Log;
  readonly #events: LinkEvents;
  readonly #client: Client;
  #socket: Socket | undefined;
  #timer: Disposable | undefined;
  #ended = false;
  #handshake: Handshake | undefined;
  #receiver: SnapshotReceiver | undefined;
  #units = new UnitReader();
  #pausing = false;
  /** How often it was asked to lead, and whether it does by now. */
  #asked = 0;
  #leads = false;
  state: LinkState = "connect";
  downSinceMs: number;
  lastHeardMs: number;
  #ackedMs = 0;
  /** Bytes of the snapshot that is coming. */
  receivedBytes = 0;

  /** `client` runs what comes; it goes on with the database that the history has selected. */
  constructor(client: Client, address: PrimaryAddress, log: Log, events: LinkEvents) {
    const { store } = client;
    this.#store = store;
    this.#client = client;
    this.address = address;
    this.#log = log;
    this.#events = events;
    this.downSinceMs = this.lastHeardMs = store.nowMs;
    this.#connect();
  }

  #connect(): void {
    const { parameters, clock } = this.#store;
    this.state = "connecting";
    this.lastHeardMs = clock.wallMs();
    const isSecure = parameters["tls-replication"];
    let socket: Socket;
    try {
      const to = { ...this.address, localAddress: parameters["bind-source-addr"] || undefined };
      socket = isSecure ? connectTls({ ...to, ...tlsClientOptions(parameters) }) : createConnection(to);
    } catch (error) {
      return this.#broken(error); // certificates that cannot be used
    }
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on(isSecure ? "secureConnect" : "connect", () => {
      this.state = "handshake";
      this.#handshake = new Handshake(this.#store, (bytes) => socket.write(bytes), this.#asks());
      this.#handshake.begin();
    });
    socket.on("data", (bytes) => {
      if (this.#socket !== socket) return;
      this.lastHeardMs = clock.wallMs();
      try {
        this.#received(bytes);
      } catch (error) {
        this.#broken(error);
      }
    });
    socket.on("error", (error) => {
      if (this.#socket === socket) this.#broken(error);
    });
    socket.on("close", () => {
      if (this.#socket === socket) this.#broken(new Error("the connection was closed"));
    });
  }

  #broken(error: unknown): void {
    const wasConnected = this.state === "connected";
    if (wasConnected) this.downSinceMs = this.#store.nowMs;
    this.#log.warn("store.primary-lost", { ...this.address, state: this.state, error });
    this.#reset();
    this.state = "connect";
    // At once after one that stood: its backlog goes on.
    if (!this.#ended) this.#timer = this.#store.clock.timer(wasConnected ? 0 : RETRY_MS, () => this.#connect());
  }

  #reset(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#store.clients.delete(this.#client.id);
    socket?.destroy();
    this.#receiver = undefined;
    this.#handshake = undefined;
    this.#units = new UnitReader();
  }

  #received(bytes: Buffer): void {
    let rest = bytes;
    if (this.#handshake !== undefined) {
      const outcome = this.#handshake.feed(rest);
      if (outcome === undefined) return;
      this.#handshake = undefined;
      rest = outcome.rest;
      if (outcome.kind === "refused") return this.#refused(outcome.reason);
      this.#events.answered(undefined);
      if (outcome.kind === "full") {
        this.state = "sync";
        this.receivedBytes = 0;
        this.#receiver = new SnapshotReceiver(this.#store, outcome);
      } else {
        this.#events.continued(outcome.id);
        this.#log.info("store.primary-resumed", { ...this.address });
        this.#connected();
      }
    }
    if (this.#receiver !== undefined) {
      this.receivedBytes += rest.length;
      const done = this.#receiver.feed(rest);
      if (done === undefined) return;
      const { id, offset, streamDatabase } = this.#receiver;
      this.#receiver.install();
      this.#receiver = undefined;
      this.#events.restarted(id, offset);
      this.#client.db = streamDatabase;
      this.#connected();
      this.#log.info("store.synced", { ...this.address, bytes: this.receivedBytes });
      this.acknowledge();
      rest = done;
    }
    if (rest.length > 0) this.#apply(rest);
  }

  #connected(): void {
    this.state = "connected";
    this.#store.clients.set(this.#client.id, this.#client);
  }

  /** Of the connection, as CLIENT LIST has it; undefined where there is none. */
  get peer(): Peer | undefined {
    const socket = this.#socket;
    if (socket === undefined) return undefined;
    return {
      address: `${socket.remoteAddress}:${socket.remotePort}`,
      localAddress: `${socket.localAddress}:${socket.localPort}`,
      queryBytes: this.#units.heldBytes,
      queryAllocatedBytes: this.#units.heldBytes,
      unsentBytes: socket.writableLength,
    };
  }

  /** Whether to ask it to lead. */
  #asks(): boolean {
    if (!this.#events.asksToLead() || this.#leads) return false;
    this.#asked++;
    return true;
  }

  #refused(reason: string): void {
    // An earlier question may have reached it though its answer was lost: then it leads already, and is followed.
    if (this.#asked > 1 && reason.includes("can't be sent to a master")) this.#leads = true;
    else this.#events.answered(reason);
    if (!this.#ended) this.#broken(new Error(`the primary refuses PSYNC: ${reason}`));
  }

  #apply(bytes: Buffer): void {
    this.#units.push(bytes);
    if (!this.#pausing) this.#applyHeld();
  }

  /** Applies what is here whole, for a while; then others have their turn. */
  #applyHeld(): void {
    const { clock } = this.#store;
    const untilMs = clock.nowMs() + SLICE_MS;
    this.#store.tick();
    for (let count = 1; ; count++) {
      const unit = this.#units.next();
      if (unit === undefined) return;
      for (const request of unit.requests) this.#run(request);
      // A command may have ended this link.
      if (this.#ended) return;
      this.#events.applied(unit.bytes);
      if (count % UNITS_PER_LOOK === 0 && clock.nowMs() > untilMs) return this.#pauseThenGoOn();
    }
  }

  #pauseThenGoOn(): void {
    const socket = this.#socket;
    this.#pausing = true;
    socket?.pause();
    setImmediate(() => {
      this.#pausing = false;
      if (this.#socket !== socket) return;
      socket?.resume();
      try {
        this.#applyHeld();
      } catch (error) {
        this.#broken(error);
      }
    });
  }

  #run(request: Request): void {
    if (request.word(0) === "replconf") {
      if (request.count === 3 && request.word(1) === "getack") queueMicrotask(() => this.acknowledge());
      return;
    }
    const { databases } = this.#store;
    // What expires says the primary, who may know a key that has expired here by the clock.
    for (const db of databases) db.expiryMode = "keep";
    try {
      applyCommand(this.#client, request);
    } finally {
      for (const db of databases) db.expiryMode = "hide";
    }
  }

  /** Begins anew, as if the other side had closed the connection. */
  drop(): void {
    if (this.#socket !== undefined) this.#broken(new Error("the connection was closed here"));
  }

  /** Tells how far this server has come. */
  acknowledge(): void {
    if (this.state !== "connected" || this.#socket === undefined) return;
    this.#ackedMs = this.#store.nowMs;
    const disk = this.#store.persistence?.journal.syncedReplicationOffset;
    const fack = disk === undefined ? [] : ["FACK", String(disk)];
    this.#socket.write(commandBytes("REPLCONF", "ACK", String(this.#store.replicationOffset), ...fack));
  }

  /** From time to time. */
  tick(): void {
    const { nowMs, parameters } = this.#store;
    // Not by the socket's own timeout: what is written, each second, counts there as well.
    if (this.#socket !== undefined && nowMs - this.lastHeardMs > parameters["repl-timeout"] * 1000)
      return this.#broken(new Error("nothing was heard for too long"));
    if (this.state === "connected" && this.#store.nowMs - this.#ackedMs >= ACK_EVERY_MS) this.acknowledge();
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#timer?.[Symbol.dispose]();
    this.#reset();
  }
}
