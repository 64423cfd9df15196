import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { commandBytes } from "../../src/kv/propagation.ts";

/** What RESP2 answers; an error as an `Error`. */
export type Reply = string | number | null | Error | Reply[];

/** A connection to a store or to Redis: commands out, replies in their order. */
export class RespClient implements Disposable {
  readonly #socket: Socket;
  readonly #waiting: { readonly resolve: (reply: Reply) => void; readonly reject: (error: Error) => void }[] = [];
  #rest = "";
  #ended: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true).setEncoding("latin1");
    socket.on("data", (text: string) => this.#received(text));
    socket.on("error", (error) => this.#end(error));
    socket.on("close", () => this.#end(new Error("the connection was closed")));
  }

  static async connect(port: number, host = "127.0.0.1"): Promise<RespClient> {
    const socket = createConnection({ port, host });
    await once(socket, "connect");
    return new RespClient(socket);
  }

  /** Rejects where the connection ends before the reply. */
  call(...parts: readonly string[]): Promise<Reply> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    this.#socket.write(commandBytes(...parts));
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Reads nothing any more. */
  pause(): void {
    this.#socket.pause();
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #received(text: string): void {
    this.#rest += text;
    for (;;) {
      const parsed = replyAt(this.#rest, 0);
      if (parsed === undefined) return;
      this.#rest = this.#rest.slice(parsed.end);
      this.#waiting.shift()?.resolve(parsed.reply);
    }
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}

function replyAt(text: string, at: number): { readonly reply: Reply; readonly end: number } | undefined {
  const lineEnd = text.indexOf("\r\n", at);
  if (lineEnd < 0) return undefined;
  const line = text.slice(at + 1, lineEnd);
  const end = lineEnd + 2;
  switch (text.charAt(at)) {
    case "+":
      return { reply: line, end };
    case "-":
      return { reply: new Error(line), end };
    case ":":
      return { reply: Number(line), end };
    case "$": {
      const length = Number(line);
      if (length < 0) return { reply: null, end };
      return text.length < end + length + 2 ? undefined : { reply: text.slice(end, end + length), end: end + length + 2 };
    }
    default:
      return arrayAt(text, end, Number(line));
  }
}

function arrayAt(text: string, from: number, count: number): { readonly reply: Reply; readonly end: number } | undefined {
  if (count < 0) return { reply: null, end: from };
  const items: Reply[] = [];
  let at = from;
  for (let i = 0; i < count; i++) {
    const item = replyAt(text, at);
    if (item === undefined) return undefined;
    items.push(item.reply);
    at = item.end;
  }
  return { reply: items, end: at };
}
