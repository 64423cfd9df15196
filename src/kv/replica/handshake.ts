import { latin1Of } from "../../base/latin1.ts";
import { commandBytes } from "../propagation.ts";
import type { Store } from "../store.ts";

const LINE_BYTES_MAX = 64 * 1024;

/** What the primary has to say: the whole follows, or what this server has not had yet. */
export type Outcome = { readonly rest: Buffer } & (
  | { readonly kind: "full"; readonly id: string; readonly offset: number }
  | { readonly kind: "continue"; readonly id: string | undefined }
  /** It can do neither, now or ever. */
  | { readonly kind: "refused"; readonly reason: string }
);

/** Makes itself known to a primary, one question after the other, and asks to go on where this server is. */
export class Handshake {
  readonly #store: Store;
  readonly #send: (bytes: Buffer) => void;
  readonly #questions: (readonly string[])[] = [];
  #rest: Buffer = Buffer.alloc(0);

  /** `asksToLead`: the other one is to be the primary of this server from now on, which was its own. */
  constructor(store: Store, send: (bytes: Buffer) => void, asksToLead: boolean) {
    this.#store = store;
    this.#send = send;
    const { parameters } = store;
    const { masteruser, masterauth, "replica-announce-ip": ip } = parameters;
    const ownPort = (parameters["tls-replication"] && parameters["tls-port"]) || parameters.port;
    const port = parameters["replica-announce-port"] || ownPort;
    this.#questions.push(["PING"]);
    if (masterauth !== "") this.#questions.push(masteruser === "" ? ["AUTH", masterauth] : ["AUTH", masteruser, masterauth]);
    this.#questions.push(["REPLCONF", "listening-port", String(port)]);
    if (ip !== "") this.#questions.push(["REPLCONF", "ip-address", ip]);
    this.#questions.push(["REPLCONF", "capa", "eof", "capa", "psync2"]);
    this.#questions.push(asksToLead ? [...this.#psync(), "FAILOVER"] : this.#psync());
  }

  #psync(): string[] {
    const { replicationId, replicationOffset, knowsHistory } = this.#store;
    return knowsHistory ? ["PSYNC", replicationId, String(replicationOffset + 1)] : ["PSYNC", "?", "-1"];
  }

  begin(): void {
    this.#send(commandBytes(...this.#questions[0]!));
  }

  /** Undefined until it is over. Throws where the primary refuses. */
  feed(bytes: Buffer): Outcome | undefined {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    for (;;) {
      const end = this.#rest.indexOf(10);
      if (end < 0) {
        if (this.#rest.length > LINE_BYTES_MAX) throw new Error("the primary's answer is too long");
        return undefined;
      }
      const line = latin1Of(this.#rest, 0, end).replace(/\r$/, "");
      this.#rest = this.#rest.subarray(end + 1);
      // While it makes a snapshot it sends empty lines, so that it is known to be alive.
      if (line === "") continue;
      const outcome = this.#answered(line);
      if (outcome !== undefined) return outcome;
    }
  }

  #answered(line: string): Outcome | undefined {
    const [question = []] = this.#questions;
    if (question[0] === "PSYNC") return this.#outcomeOf(line);
    if (
      line.startsWith("-") &&
      !(question[0] === "REPLCONF" || (question[0] === "PING" && /^-(NOAUTH|NOPERM|ERR operation not permitted)/.test(line)))
    )
      throw new Error(`the primary refuses ${question[0]}: ${line.slice(1)}`);
    this.#questions.shift();
    this.#send(commandBytes(...this.#questions[0]!));
    return undefined;
  }

  #outcomeOf(line: string): Outcome {
    const [word, id, offset] = line.split(" ");
    if (word === "+FULLRESYNC" && id !== undefined && /^\d+$/.test(offset ?? ""))
      return { kind: "full", id, offset: Number(offset), rest: this.#rest };
    if (word === "+CONTINUE") return { kind: "continue", id, rest: this.#rest };
    return { kind: "refused", reason: line.slice(1), rest: this.#rest };
  }
}
