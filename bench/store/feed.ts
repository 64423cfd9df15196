import { once } from "node:events";
import { createConnection } from "node:net";

/** Commands on their way at most: what a server works on while the next ones are made. */
const UNANSWERED_MAX = 4000;
const CHUNK_CHARACTERS = 64 * 1024;
const LINE_FEED = 0x0a;

export type Command = readonly string[];

/** Sends commands, of ASCII, pipelined as fast as the server takes them, and waits for all replies, which must be lines. Throws what a server says is wrong, or that it is gone. */
export async function feed(port: number, commands: Iterable<Command>): Promise<void> {
  const socket = createConnection({ host: "127.0.0.1", port });
  const count = { sent: 0, answered: 0 };
  let failure: Error | undefined;
  let moved = Promise.withResolvers<void>();
  const failed = (error: Error): void => {
    failure ??= error;
    moved.resolve();
  };
  socket.on("error", failed);
  socket.on("close", () => failed(new Error("the server closed the connection")));
  socket.on("data", (bytes: Buffer) => {
    if (bytes[0] === 0x2d) return void socket.destroy(new Error(bytes.toString()));
    count.answered += linesIn(bytes);
    moved.resolve();
  });
  const room = async (unansweredMax: number): Promise<void> => {
    for (;;) {
      if (failure !== undefined) throw failure;
      if (count.sent - count.answered <= unansweredMax) return;
      await moved.promise;
      moved = Promise.withResolvers();
    }
  };
  try {
    await once(socket, "connect");
    let chunk = "";
    for (const command of commands) {
      chunk += encode(command);
      count.sent++;
      if (chunk.length < CHUNK_CHARACTERS) continue;
      socket.write(chunk, "latin1");
      chunk = "";
      await room(UNANSWERED_MAX);
    }
    socket.write(chunk, "latin1");
    await room(0);
  } finally {
    socket.destroy();
  }
}

export function encode(command: Command): string {
  let text = `*${command.length}\r\n`;
  for (const part of command) text += `$${part.length}\r\n${part}\r\n`;
  return text;
}

export function linesIn(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(LINE_FEED); at !== -1; at = bytes.indexOf(LINE_FEED, at + 1)) lines++;
  return lines;
}
