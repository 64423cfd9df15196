import { createConnection } from "node:net";
import { latin1Of } from "../../base/latin1.ts";
import type { Clock } from "../../base/clock.ts";
import { commandBytes } from "../propagation.ts";

const LINE_BYTES_MAX = 64 * 1024;

/** How a connection to another server for MIGRATE ends early. */
export class MigrationError extends Error {
  constructor(during: "connecting to the client" | "writing to target instance" | "reading from target instance") {
    super(`IOERR error or timeout ${during}`);
    this.name = "MigrationError";
  }
}

/** A connection that sends commands whose answers are one line each. */
export interface LineConnection extends Disposable {
  /** The lines that answer these commands. Rejects with a `MigrationError`. */
  call(commands: readonly (readonly (string | Uint8Array)[])[]): Promise<string[]>;
}

const ignore = (): void => undefined;

/** Connects; all of it must be over after `timeoutMs`. */
export async function connectTo(
  at: { readonly host: string; readonly port: number },
  timeoutMs: number,
  clock: Clock,
): Promise<LineConnection> {
  const socket = createConnection(at);
  let fail: (error: MigrationError) => void = ignore;
  let lines: string[] = [];
  let wanted = 0;
  let finish: (lines: string[]) => void = ignore;
  let rest = Buffer.alloc(0);
  let during: MigrationError | undefined;
  const timer = clock.timer(timeoutMs, () => socket.destroy());
  socket.on("error", () => socket.destroy());
  socket.on("close", () => fail((during ??= new MigrationError("reading from target instance"))));
  socket.on("data", (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    if (rest.length > LINE_BYTES_MAX * Math.max(1, wanted)) return void socket.destroy();
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      lines.push(latin1Of(rest, 0, end).replace(/\r$/, ""));
      rest = rest.subarray(end + 1);
    }
    if (wanted > 0 && lines.length >= wanted) finish(lines);
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    fail = () => reject(new MigrationError("connecting to the client"));
  });
  return {
    call: (commands) =>
      new Promise((resolve, reject) => {
        if (during !== undefined) return reject(during);
        lines = [];
        wanted = commands.length;
        finish = resolve;
        fail = reject;
        for (const command of commands) socket.write(commandBytes(...command));
      }),
    [Symbol.dispose]() {
      timer[Symbol.dispose]();
      socket.destroy();
    },
  };
}
