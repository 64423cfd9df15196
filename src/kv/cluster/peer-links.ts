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

/** Of an answer to news; who has not answered by then is not waited for again before it has. */
const ANSWER_MS = 1000;
const LINE_FEED = 10;

/** Connections to the other nodes, made when there is something to send. */
export class PeerLinks implements Disposable {
  readonly #node: ClusterNode;
  readonly #links = new Map<string, PeerLink>();

  constructor(node: ClusterNode) {
    this.#node = node;
  }

  /** Takes a message of PUBLISH to all nodes, whose clients may have subscribed there; one of a channel of this shard to those of that. */
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

  /** Tells nodes that the register has something new. Resolves when those that answer have read it, or after a while. */
  async tellNews(members: Iterable<Member>): Promise<void> {
    const { self, failed, store } = this.#node;
    const bytes = commandBytes("CLUSTER", "NEWS");
    const answers: Promise<void>[] = [];
    const asked: { readonly link: PeerLink; readonly number: number }[] = [];
    for (const member of members) {
      if (member.id === self.id || failed.has(member.id)) continue;
      const link = this.#linkTo(member);
      if (link.isLate) {
        link.send(bytes);
        continue;
      }
      answers.push(link.ask(bytes));
      asked.push({ link, number: link.sent });
    }
    if (answers.length === 0) return;
    const { promise: over, resolve } = Promise.withResolvers<void>();
    using limit = store.clock.timer(ANSWER_MS, () => {
      for (const { link, number } of asked) link.noteLate(number);
      resolve();
    });
    await Promise.race([Promise.all(answers), over]);
    void limit;
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
  /** Commands sent and answers got on this connection; each answer is a line. */
  #sent = 0;
  #answered = 0;
  /** Commands whose answers somebody waits for, by their number. */
  #waiting: { readonly number: number; readonly answered: () => void }[] = [];
  #lateUntil = 0;

  constructor(store: Store, member: Member) {
    this.#store = store;
    this.#member = member;
  }

  /** It has not answered in time what it was asked, and still has not. */
  get isLate(): boolean {
    return this.#answered < this.#lateUntil;
  }

  /** Commands sent, and so the number of the last one. */
  get sent(): number {
    return this.#sent;
  }

  /** The time of this command is over. */
  noteLate(number: number): void {
    if (this.#waiting.some((each) => each.number === number)) this.#lateUntil = Math.max(this.#lateUntil, number);
  }

  isTo({ host, port, tlsPort }: Member): boolean {
    return this.#member.host === host && this.#member.port === port && this.#member.tlsPort === tlsPort;
  }

  /** False: it is lost. */
  send(bytes: Buffer): boolean {
    if (this.#socket === undefined && this.#store.lookedMs - this.#failedMs < RETRY_MS) return false;
    const socket = (this.#socket ??= this.#connect());
    if (socket === undefined || socket.writableLength + bytes.length > WAITING_BYTES_MAX) return false;
    socket.write(bytes);
    this.#sent++;
    return true;
  }

  /** Resolves when it is answered, whatever with, or lost. */
  ask(bytes: Buffer): Promise<void> {
    if (!this.send(bytes)) return Promise.resolve();
    const { promise, resolve: answered } = Promise.withResolvers<void>();
    this.#waiting.push({ number: this.#sent, answered });
    return promise;
  }

  #received(chunk: Buffer): void {
    for (let at = chunk.indexOf(LINE_FEED); at !== -1; at = chunk.indexOf(LINE_FEED, at + 1)) this.#answered++;
    while (this.#waiting.length > 0 && this.#waiting[0]!.number <= this.#answered) this.#waiting.shift()!.answered();
  }

  #closed(): void {
    this.#socket = undefined;
    for (const { answered } of this.#waiting.splice(0)) answered();
    [this.#sent, this.#answered, this.#lateUntil] = [0, 0, 0];
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
    socket.on("data", (chunk: Buffer) => {
      if (this.#socket === socket) this.#received(chunk);
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      if (this.#socket === socket) this.#closed();
      this.#failedMs = this.#store.lookedMs;
    });
    const { masteruser, masterauth } = parameters;
    if (masterauth !== "") {
      socket.write(commandBytes("AUTH", ...(masteruser === "" ? [] : [masteruser]), masterauth));
      this.#sent++;
    }
    return socket;
  }

  [Symbol.dispose](): void {
    this.#socket?.destroy();
    this.#closed();
  }
}
