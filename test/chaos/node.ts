import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { aFaultyDisk, type FaultyDisk } from "../kit/faulty-disk.ts";
import { freePort } from "../kit/process.ts";
import { RespClient, type Reply } from "../store/resp-client.ts";
import { startStoreProcess, type StoreProcess } from "../store/store-process.ts";
import { pause, within } from "./cluster-caller.ts";
import type { Order } from "./order.ts";
import { startProxy, type Proxy } from "./proxy.ts";
import { PACKAGES } from "./server-bundle.ts";

const NODE_TIMEOUT_MS = 2000;
/** The machine that runs the tests may have much else to do: what users get by default is 200. */
const PAUSE_MS = 1000;
const DISK_BYTES = 24 * 1024 * 1024;
const CALL_MS = 3000;

export interface NodeOptions {
  readonly index: number;
  /** The program to run. */
  readonly server: string;
  /** With the register, that all nodes share. */
  readonly directory: string;
}

/** A node in a process of its own, on a disk of its own, behind a proxy. */
export class ChaosNode implements AsyncDisposable {
  readonly index: number;
  readonly port: number;
  readonly proxy: Proxy;
  readonly disk: FaultyDisk;
  readonly #options: NodeOptions;
  #process: StoreProcess | undefined;
  id = "";
  /** How often it was let go on. */
  resumed = 0;

  private constructor(options: NodeOptions, parts: { readonly port: number; readonly proxy: Proxy; readonly disk: FaultyDisk }) {
    this.index = options.index;
    this.#options = options;
    this.port = parts.port;
    this.proxy = parts.proxy;
    this.disk = parts.disk;
    this.proxy.target = this.port;
  }

  static async make(options: NodeOptions): Promise<ChaosNode> {
    return new ChaosNode(options, { port: await freePort(), proxy: await startProxy(), disk: await aFaultyDisk(DISK_BYTES) });
  }

  /** Rejects where it does not start. */
  async start(): Promise<void> {
    const dataDir = join(this.disk.dir, "data");
    mkdirSync(dataDir, { recursive: true });
    const options = {
      port: this.port,
      dataDir,
      parameters: {
        "cluster-enabled": true,
        "cluster-register": `sqlite:${join(this.#options.directory, "register.db")}`,
        "cluster-node-timeout": NODE_TIMEOUT_MS,
        "cluster-announce-port": this.proxy.port,
        "cluster-slot-migration-write-pause-timeout": PAUSE_MS,
        appendonly: true,
        appendfsync: "always",
        "auto-aof-rewrite-min-size": 512 * 1024,
        save: "",
        "enable-debug-command": "yes",
      },
    };
    this.#process = await startStoreProcess(options, { server: this.#options.server, packages: PACKAGES });
  }

  async kill(): Promise<void> {
    this.signal("SIGCONT");
    await this.#process?.kill();
    this.#process = undefined;
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    if (signal === "SIGCONT") this.resumed++;
    this.#process?.signal(signal);
  }

  tell(order: Order): void {
    this.#process?.tell(JSON.stringify(order));
  }

  /** It can stop itself. */
  get isStopped(): boolean {
    return this.#systemState === "T";
  }

  /** It can end itself. */
  get isRunning(): boolean {
    return !["", "Z", "X"].includes(this.#systemState);
  }

  /** A letter, as proc(5) has it; empty: there is no such process. */
  get #systemState(): string {
    if (this.#process === undefined) return "";
    try {
      return readFileSync(`/proc/${this.#process.pid}/stat`, "latin1").split(") ")[1]!.charAt(0);
    } catch {
      return "";
    }
  }

  get processorWaitMs(): number {
    return this.#process === undefined ? 0 : processorWaitMsOf(this.#process.pid);
  }

  /** Past the proxy. Undefined: no answer. */
  async call(...parts: readonly string[]): Promise<Reply | undefined> {
    try {
      using client = await within(CALL_MS, RespClient.connect(this.port));
      return await within(CALL_MS, client.call(...parts));
    } catch {
      return undefined;
    }
  }

  async isServing(): Promise<boolean> {
    return String(await this.call("CLUSTER", "INFO")).includes("cluster_state:ok");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.proxy[Symbol.asyncDispose]();
    await this.disk[Symbol.asyncDispose]();
  }
}

/** So long the main thread of a process could have run and had no processor; from Linux' scheduler. */
export function processorWaitMsOf(pid: number | "self"): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, "latin1").split(" ")[1]) / 1e6;
  } catch {
    return 0; // it is gone
  }
}

/** Asks until the answer is yes; false: it was not in time. */
export async function until(ms: number, done: () => boolean | Promise<boolean>, pollMs = 50): Promise<boolean> {
  const endMs = performance.now() + ms;
  while (!(await done())) {
    if (performance.now() > endMs) return false;
    await pause(pollMs);
  }
  return true;
}

/** Slots of a node by CLUSTER NODES. */
export async function slotsOf(node: ChaosNode): Promise<ReadonlySet<number>> {
  const line = String(await node.call("CLUSTER", "NODES"))
    .split("\n")
    .find((one) => one.startsWith(node.id));
  const slots = new Set<number>();
  for (const text of line?.trim().split(" ").slice(8) ?? []) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(text);
    if (match === null) continue;
    for (let slot = Number(match[1]); slot <= Number(match[2] ?? match[1]); slot++) slots.add(slot);
  }
  return slots;
}

export interface Shown {
  readonly name: string;
  readonly operation: string;
  readonly phase: string;
  readonly pauseMaxMs: number;
}

export async function migrationsOf(node: ChaosNode): Promise<readonly Shown[] | undefined> {
  return shownIn(await node.call("CLUSTER", "GETSLOTMIGRATIONS"));
}

export function shownIn(reply: Reply | undefined): readonly Shown[] | undefined {
  if (!Array.isArray(reply)) return undefined;
  return reply.map((one) => {
    const fields = new Map<string, Reply>();
    const list = one as Reply[];
    for (let at = 0; at + 1 < list.length; at += 2) fields.set(String(list[at]), list[at + 1]!);
    const text = (name: string): string => String(fields.get(name));
    return { name: text("name"), operation: text("operation"), phase: text("phase"), pauseMaxMs: Number(fields.get("pause_max_ms")) };
  });
}

export const isOpen = ({ phase }: Shown): boolean => !["finished", "cancelled", "failed", "dropped"].includes(phase);
