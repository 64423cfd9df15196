import { createConnection, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { tlsClientOptions } from "../clients/tls.ts";
import { commandBytes } from "../propagation.ts";
import type { Store } from "../store.ts";
import type { ClusterNode } from "./cluster-node.ts";
import type { Member } from "./members.ts";

/** What waits for one node; beyond it messages are lost, as they are where nobody listens. */
const WAITING_BYTES_MAX = 1024 * 1024;
const RETRY_MS = 500;

/** Takes messages of PUBLISH to the other nodes, whose clients may have subscribed there. Connected when there is something to send. */
export class PeerLinks implements Disposable {
  readonly #node: ClusterNode;
  readonly #links = new Map<string, PeerLink>();

  constructor(node: ClusterNode) {
    this.#node = node;
  }

  /** To all nodes; or to those of this shard, a message of a channel of that. */
  publish(channel: string, message: string, toShard: boolean): void {
    const { known, self, failed } = this.#node;
    if (known.length === 1) return;
    let bytes: Buffer | undefined;
    for (const member of known) {
      if (member.id === self.id || failed.has(member.id) || (toShard && member.shard !== self.shard)) continue;
      bytes ??= commandBytes("CLUSTER", "PUBLISHED", toShard ? "SHARD" : "ALL", channel, message);
      this.#linkTo(member).send(bytes);
    }
  }

  #linkTo(member: Member): PeerLink {
    const known = this.#links.get(member.id);
    if (known?.isTo(member) === true) return known;
    known?.[Symbol.dispose]();
    const link = new PeerLink(this.#node.store, member);
    this.#links.set(member.id, link);
    return link;
  }

  [Symbol.dispose](): void {
    for (const link of this.#links.values()) link[Symbol.dispose]();
  }
}

class PeerLink implements Disposable {
  readonly #store: Store;
  readonly #member: Member;
  #socket: Socket | undefined;
  #failedMs = -Infinity;

  constructor(store: Store, member: Member) {
    this.#store = store;
    this.#member = member;
  }

  isTo({ host, port, tlsPort }: Member): boolean {
    return this.#member.host === host && this.#member.port === port && this.#member.tlsPort === tlsPort;
  }

  send(bytes: Buffer): void {
    if (this.#socket === undefined && this.#store.lookedMs - this.#failedMs < RETRY_MS) return;
    const socket = (this.#socket ??= this.#connect());
    if (socket !== undefined && socket.writableLength + bytes.length <= WAITING_BYTES_MAX) socket.write(bytes);
  }

  #connect(): Socket | undefined {
    const { parameters } = this.#store;
    const { host, port, tlsPort } = this.#member;
    const isSecure = parameters["tls-replication"] && tlsPort !== 0;
    let socket: Socket;
    try {
      socket = isSecure ? connectTls({ host, port: tlsPort, ...tlsClientOptions(parameters) }) : createConnection({ host, port });
    } catch {
      this.#failedMs = this.#store.lookedMs;
      return undefined; // certificates that cannot be used
    }
    socket.setNoDelay(true).unref();
    socket.on("data", () => undefined); // how many have got it nobody asks
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      if (this.#socket === socket) this.#socket = undefined;
      this.#failedMs = this.#store.lookedMs;
    });
    const { masteruser, masterauth } = parameters;
    if (masterauth !== "") socket.write(commandBytes("AUTH", ...(masteruser === "" ? [] : [masteruser]), masterauth));
    return socket;
  }

  [Symbol.dispose](): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }
}
