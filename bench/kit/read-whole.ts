// A client that reads one HTTP answer, throws the bytes away and prints one line of JSON. Arguments: port, path.
import { connect } from "node:net";

export interface WholeResult {
  readonly bytes: number;
  readonly seconds: number;
}

const [port = "", path = ""] = process.argv.slice(2);
if (import.meta.main) console.log(JSON.stringify(await readWhole(Number(port), path)));

function readWhole(at: number, uri: string): Promise<WholeResult> {
  const buffer = Buffer.allocUnsafeSlow(512 * 1024);
  const startedMs = performance.now();
  return new Promise((resolve, reject) => {
    let head = "";
    let bytes = 0;
    const received = (chunk: Buffer): void => {
      if (head.endsWith("\r\n\r\n")) return void (bytes += chunk.length);
      const end = chunk.indexOf("\r\n\r\n");
      head += chunk.toString("latin1", 0, end < 0 ? chunk.length : end + 4);
      if (end >= 0) bytes += chunk.length - end - 4;
    };
    const socket = connect({
      port: at,
      host: "127.0.0.1",
      noDelay: true,
      onread: { buffer, callback: (count) => (received(buffer.subarray(0, count)), true) },
    });
    socket.write(`GET ${uri} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`);
    socket.once("error", reject);
    socket.once("close", () => {
      const length = Number(/\ncontent-length: *(\d+)/i.exec(head)?.[1]);
      if (!head.startsWith("HTTP/1.1 200") || length !== bytes) reject(new Error(`got ${bytes} bytes after ${head}`));
      else resolve({ bytes, seconds: (performance.now() - startedMs) / 1000 });
    });
  });
}
