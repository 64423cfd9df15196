// A client that reads spans of one file over one connection, throws the bytes away and prints one line of JSON.
// Arguments: the JSON of a `SpanTarget`. The same reader serves both protocols, so that only the server differs.
import { connect, type Socket } from "node:net";
import { encodeDownloadPiece } from "../../src/wire/vortex/codec.ts";
import { createResponseHeadParser } from "../../src/wire/vortex/response-parser.ts";

export interface SpanTarget {
  readonly port: number;
  /** Vortex: the task; HTTP: a path, and a Host header where it is not the address. */
  readonly speaks:
    | { readonly protocol: "vortex"; readonly taskId: string }
    | { readonly protocol: "http"; readonly path: string; readonly host?: string };
  readonly fileBytes: number;
  readonly spanBytes: number;
  /** Requests under way at once. */
  readonly depth: number;
}

export interface SpanResult {
  readonly bytes: number;
  readonly seconds: number;
}

interface Dialect {
  request(span: number): Uint8Array | string;
  /** The head at the front of the bytes: its length and that of the body behind it. */
  head(bytes: Buffer): { readonly headBytes: number; readonly bodyBytes: number } | undefined;
}

if (process.argv[2] !== undefined && import.meta.main) {
  const result = await readSpans(JSON.parse(process.argv[2]) as SpanTarget);
  console.log(JSON.stringify(result));
}

export function readSpans(target: SpanTarget): Promise<SpanResult> {
  const spans = Math.ceil(target.fileBytes / target.spanBytes);
  const dialect = target.speaks.protocol === "vortex" ? vortex(target.speaks.taskId) : http(target, target.speaks);
  const buffer = Buffer.allocUnsafeSlow(512 * 1024);
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    let asked = 0;
    let answered = 0;
    let bodyLeft = 0;
    let bytes = 0;
    let kept = Buffer.alloc(0);
    const ask = (): void => {
      if (asked < spans) socket.write(dialect.request(asked++));
    };
    const received = (chunk: Buffer): void => {
      let at = 0;
      while (at < chunk.length || bodyLeft > 0) {
        if (bodyLeft > 0) {
          const part = Math.min(bodyLeft, chunk.length - at);
          if (part === 0) return;
          at += part;
          bytes += part;
          bodyLeft -= part;
        } else {
          const front = kept.length > 0 ? Buffer.concat([kept, chunk.subarray(at)]) : chunk.subarray(at);
          const head = dialect.head(front);
          if (head === undefined) {
            kept = Buffer.from(front);
            return;
          }
          at += head.headBytes - kept.length;
          kept = Buffer.alloc(0);
          bodyLeft = head.bodyBytes;
        }
        if (bodyLeft === 0) {
          ask();
          if (++answered === spans) socket.destroy();
        }
      }
    };
    const socket: Socket = connect({
      port: target.port,
      host: "127.0.0.1",
      noDelay: true,
      onread: { buffer, callback: (count) => (received(buffer.subarray(0, count)), true) },
    });
    for (let i = 0; i < target.depth; i++) ask();
    socket.once("error", reject);
    socket.once("close", () => {
      if (bytes === target.fileBytes) resolve({ bytes, seconds: (performance.now() - startedMs) / 1000 });
      else reject(new Error(`got ${bytes} of ${target.fileBytes} bytes`));
    });
  });
}

function vortex(taskId: string): Dialect {
  return {
    request: (span) => encodeDownloadPiece({ kind: "standard", id: 0, taskId, pieceNumber: span }),
    head(bytes) {
      const parsed = createResponseHeadParser().feed(bytes);
      if (parsed === undefined) return undefined;
      if (parsed.head.type !== "content") throw new Error(`the server answered ${JSON.stringify(parsed.head)}`);
      return { headBytes: parsed.consumedBytes, bodyBytes: parsed.head.length };
    },
  };
}

function http(target: SpanTarget, { path, host }: { readonly path: string; readonly host?: string }): Dialect {
  return {
    request(span) {
      const last = Math.min(target.fileBytes, (span + 1) * target.spanBytes) - 1;
      return `GET ${path} HTTP/1.1\r\nHost: ${host ?? "127.0.0.1"}\r\nRange: bytes=${span * target.spanBytes}-${last}\r\n\r\n`;
    },
    head(bytes) {
      const end = bytes.indexOf("\r\n\r\n");
      if (end < 0) return undefined;
      const text = bytes.toString("latin1", 0, end);
      const length = /\ncontent-length: *(\d+)/i.exec(text)?.[1];
      if (!text.startsWith("HTTP/1.1 206") || length === undefined) throw new Error(`the server answered ${text}`);
      return { headBytes: end + 4, bodyBytes: Number(length) };
    },
  };
}
