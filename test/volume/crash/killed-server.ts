import { mkdirSync, readFileSync } from "node:fs";
import type { EngineKind, RegisterEngine } from "../../kit/register-engines.ts";

/** A metadata engine that is killed with all its processes, and comes back with what it had on disk. */
export class KilledServer implements AsyncDisposable {
  readonly #engine: RegisterEngine;
  #running: (AsyncDisposable & { readonly pid: number }) | undefined;

  private constructor(engine: RegisterEngine) {
    this.#engine = engine;
  }

  static async start(kind: EngineKind, directory: string): Promise<KilledServer> {
    mkdirSync(directory);
    const server = new KilledServer(await kind.prepare(directory));
    await server.run();
    return server;
  }

  get url(): string {
    return this.#engine.urlOn(this.#engine.port);
  }

  async run(): Promise<void> {
    this.#running = await this.#engine.run();
  }

  async kill(): Promise<void> {
    if (this.#running === undefined) return;
    const { pid } = this.#running;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
      .split(" ")
      .filter((text) => text !== "")
      .map(Number);
    for (const each of [pid, ...children]) kill(each);
    await this[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running?.[Symbol.asyncDispose]();
    this.#running = undefined;
  }
}

export function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended since
  }
}
