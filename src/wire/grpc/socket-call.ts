import type { Clock } from "../../base/clock.ts";
import { AnaxError, errorOf } from "../../base/errors.ts";
import type { AnswerEvents, Exchange } from "../http2/connection.ts";
import { createMessageParser, type MessageParser } from "./message-parser.ts";
import { CODE_TRAILER, DETAILS_TRAILER, errorOfCall } from "./status-error.ts";

export interface SocketCallOptions<Res> {
  readonly method: string;
  readonly decode: (bytes: Buffer) => Res;
  readonly receiveBytesMax: number;
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
}

/** One call and the answer to it, pulled by its reader. Disposing cancels what is not finished. */
export class SocketCall<Res> implements Disposable {
  readonly #options: SocketCallOptions<Res>;
  readonly #parser: MessageParser;
  readonly #release = new DisposableStack();
  readonly #messages: Buffer[] = [];
  /** Bytes that were received while messages waited: their place is given back once these are read. */
  #heldBytes = 0;
  readonly #fields = new Map<string, string>();
  #exchange: Exchange | undefined;
  /** The answer is over; the first reason stands. */
  #ended: { readonly well: true } | { readonly well: false; readonly why: unknown } | undefined;
  #wake: () => void = () => undefined;

  constructor(options: SocketCallOptions<Res>) {
    this.#options = options;
    this.#parser = createMessageParser(options.receiveBytesMax);
  }

  /** Sends the request, and watches over the call until it is disposed. */
  begin(request: (events: AnswerEvents) => Exchange): void {
    const { signal, timeoutMs, clock, method } = this.#options;
    const onAbort = (): void => this.#cancel(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#release.defer(() => signal?.removeEventListener("abort", onAbort));
    if (timeoutMs !== undefined) {
      const late = new AnaxError("rpc.deadline-exceeded", { method, timeoutMs });
      this.#release.use(clock.timer(timeoutMs, () => this.#cancel(late)));
    }
    this.#exchange = request({
      headers: (fields) => fields.forEach(([name, value]) => this.#fields.set(name, value)),
      data: (bytes) => this.#receive(bytes),
      end: () => this.#end(this.#statusError()),
      failed: (error) => this.#end(error),
    });
  }

  /** The next response; undefined after the last. Throws why the call failed. */
  async next(): Promise<Res | undefined> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) return this.#decoded(message);
      if (this.#ended?.well === false) throw this.#ended.why;
      if (this.#ended !== undefined) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  [Symbol.dispose](): void {
    this.#release.dispose();
    this.#exchange?.cancel();
  }

  #receive(bytes: Uint8Array): void {
    const waiting = this.#messages.length > 0;
    try {
      this.#messages.push(...this.#parser.feed(bytes));
    } catch (thrown) {
      return this.#cancel(thrown);
    }
    // A message on its way is let through to its end, however long it is: half of it is of no use.
    if (waiting) this.#heldBytes += bytes.length;
    else this.#exchange?.used(bytes.length);
    this.#wake();
  }

  #decoded(message: Buffer): Res {
    if (this.#messages.length === 0) {
      this.#exchange?.used(this.#heldBytes);
      this.#heldBytes = 0;
    }
    try {
      return this.#options.decode(message);
    } catch (cause) {
      throw new AnaxError("rpc.internal", { method: this.#options.method, reason: errorOf(cause).message }, { cause });
    }
  }

  /** What has arrived is of no interest any more. */
  #cancel(reason: unknown): void {
    this.#messages.length = 0;
    this.#exchange?.cancel();
    this.#end(reason);
  }

  #end(why: unknown): void {
    this.#ended ??= why === undefined ? { well: true } : { well: false, why };
    this.#wake();
  }

  /** The error that the answer ends with, or undefined when all is well. */
  #statusError(): AnaxError | undefined {
    const { method } = this.#options;
    const code = this.#fields.get("grpc-status");
    if (code === undefined) return this.#foreignError();
    if (code !== "0") {
      const details = this.#fields.get(DETAILS_TRAILER);
      return errorOfCall(
        {
          code: Number(code),
          message: unescaped(this.#fields.get("grpc-message") ?? ""),
          ownCode: this.#fields.get(CODE_TRAILER),
          ownDetails: details === undefined ? undefined : Buffer.from(details, "base64"),
        },
        method,
      );
    }
    return this.#parser.broken ? new AnaxError("rpc.internal", { method, reason: "the answer ends inside of a message" }) : undefined;
  }

  /** Somebody answered who does not speak gRPC, or who broke off. */
  #foreignError(): AnaxError {
    const status = this.#fields.get(":status") ?? "none";
    return new AnaxError("rpc.unknown", { method: this.#options.method, reason: "an answer without a gRPC status", status });
  }
}

/** As gRPC writes messages, in which everything but printable ASCII is escaped; one that is not so is shown as it is. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
