import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { realClock } from "../../base/clock.ts";
import { AnaxError, isErrorCode, type ErrorDetails } from "../../base/errors.ts";
import type { FromMountProcess, GoneFacts, MountRequest, ToMountProcess } from "./process-messages.ts";
import type { EndReason } from "./messages.ts";
import { NO_FIGURES } from "./mount-meter.ts";

/** How a mount process came to its end, or why it should. */
export type ChildEnd =
  | { readonly kind: "gone"; readonly facts: GoneFacts }
  | { readonly kind: "ended"; readonly reason: EndReason; readonly lostFiles: number; readonly lostBytes: number }
  | { readonly kind: "crashed"; readonly reason: string };

type Prepared = FromMountProcess & { readonly kind: "prepared" };

const PREPARE_TIMEOUT_MS = 60_000;

/** A mount process, as its supervisor sees it. */
export class MountChild {
  readonly #process: ChildProcess;
  readonly #waits = new Map<FromMountProcess["kind"], (message: FromMountProcess) => void>();
  readonly #ended = Promise.withResolvers<ChildEnd>();
  /** Resolves once the process is gone. */
  readonly exited: Promise<unknown>;
  aliveMs = realClock.nowMs();
  /** Requests answered so far, wrapping around. */
  served = 0;
  /** Requests that it knows of and that rightly wait. */
  delayed = 0;
  figures = NO_FIGURES;

  private constructor(fd: number) {
    const module = new URL(`./mount-process${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);
    this.#process = fork(module, [], { stdio: ["ignore", "inherit", "inherit", fd, "ipc"], serialization: "json" });
    this.exited = once(this.#process, "exit").catch(() => undefined);
    this.#process.on("message", (message) => this.#onMessage(message as FromMountProcess)); // ours
    this.#process.on("error", (error) => this.#crashed(error.message));
    this.#process.on("exit", (code, signal) => this.#crashed(signal ?? `exit code ${code}`));
  }

  /** Starts one whose session with the volume has begun. Throws what it was refused with. */
  static async prepare(request: MountRequest, fd: number): Promise<{ readonly child: MountChild; readonly prepared: Prepared }> {
    const child = new MountChild(fd);
    const prepared = await child.#ask({ kind: "prepare", request }, "prepared", PREPARE_TIMEOUT_MS);
    return { child, prepared };
  }

  get pid(): number {
    return this.#process.pid ?? -1;
  }

  get end(): Promise<ChildEnd> {
    return this.#ended.promise;
  }

  async serve(): Promise<void> {
    await this.#ask({ kind: "serve" }, "serving", PREPARE_TIMEOUT_MS);
    this.aliveMs = realClock.nowMs();
  }

  /** Everything written is committed; an errno where it could not be. Throws `internal` after that time. */
  async flush(timeoutMs: number): Promise<number> {
    return (await this.#ask({ kind: "flush" }, "flushed", timeoutMs)).errno;
  }

  /** Waits so long for it to end by itself. */
  async kill(afterMs: number): Promise<void> {
    using _late = realClock.timer(afterMs, () => void this.#process.kill("SIGKILL"));
    await this.exited;
  }

  async #ask<K extends FromMountProcess["kind"]>(
    message: ToMountProcess,
    answer: K,
    timeoutMs: number,
  ): Promise<FromMountProcess & { readonly kind: K }> {
    const { promise, resolve, reject } = Promise.withResolvers<FromMountProcess>();
    this.#waits.set(answer, resolve);
    this.#waits.set("refused", resolve);
    using _late = realClock.timer(timeoutMs, () => reject(new AnaxError("volume.mount-failed", { reason: `no ${answer} in time` })));
    if (this.#process.connected) this.#process.send(message);
    const ended = this.end.then((end) => {
      throw new AnaxError("volume.mount-failed", { reason: end.kind === "crashed" ? end.reason : end.kind });
    });
    try {
      const told = await Promise.race([promise, ended]);
      if (told.kind === answer) return told as FromMountProcess & { readonly kind: K }; // just checked
      throw refusalOf(told);
    } catch (thrown) {
      this.#process.kill("SIGKILL");
      throw thrown;
    } finally {
      ended.catch(() => undefined);
      this.#waits.clear();
    }
  }

  #onMessage(message: FromMountProcess): void {
    if (message.kind === "alive") {
      this.aliveMs = realClock.nowMs();
      this.served = message.served;
      this.delayed = message.delayed;
      this.figures = message.figures;
    } else if (message.kind === "gone") this.#ended.resolve({ kind: "gone", facts: message });
    else if (message.kind === "ended") this.#ended.resolve(message);
    this.#waits.get(message.kind)?.(message);
  }

  #crashed(reason: string): void {
    this.#ended.resolve({ kind: "crashed", reason });
  }
}

function refusalOf(message: FromMountProcess): AnaxError {
  if (message.kind !== "refused") return new AnaxError("internal", { reason: message.kind });
  return new AnaxError(isErrorCode(message.code) ? message.code : "internal", message.details as ErrorDetails); // of an AnaxError of ours
}
