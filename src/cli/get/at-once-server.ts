import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { isAbsolute, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { realClock } from "../../base/clock.ts";
import { errorOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { socketIn } from "../../node/paths.ts";
import { clearStaleSocket, restrictSocket } from "../../wire/grpc/unix-socket.ts";
import { command, type GetAction } from "../commands/get.ts";
import { connectDaemon, type LocalDaemon } from "../connect.ts";
import { startLines } from "../progress.ts";
import { getAtOnce } from "./at-once.ts";
import { doneOf, titleOf } from "./file.ts";

const REQUEST_TIMEOUT_MS = 2000;
const BODY_BYTES_MAX = 64 * 1024;
const CONNECTIONS_MAX = 64;
/** Asks for the usual way. */
const OTHERWISE = 409;

/**
 * Serves `get` as a whole, at a socket beside that of the daemon: the launcher hands a command line over with curl, because to start Node takes longer than a small download (bin/anax.sh).
 * Answered is only what succeeds within a moment, with what the command would print where no terminal is; whatever else there is to say the command says itself. Where the socket cannot be
 * made, all goes that way.
 */
export async function serveAtOnce(daemonSocket: string, log: Log): Promise<AsyncDisposable> {
  const path = `${daemonSocket}.get`;
  let daemon: LocalDaemon | undefined;
  const server = createServer(
    { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS, connectionsCheckingInterval: REQUEST_TIMEOUT_MS },
    (request, response) => {
      answer(daemon!, request, response) // set before it listens
        .catch((thrown: unknown) => {
          log.debug("get.otherwise", { reason: errorOf(thrown).message });
          response.writeHead(OTHERWISE).end();
        });
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  try {
    daemon = await connectDaemon({ endpoint: daemonSocket, set: {} }); // before anybody can ask
    await clearStaleSocket(path);
    await once(server.listen(path), "listening");
    await restrictSocket(path);
  } catch (thrown) {
    log.warn("get.no-socket", { path, reason: errorOf(thrown).message });
  }
  return {
    async [Symbol.asyncDispose]() {
      daemon?.[Symbol.dispose]();
      server.closeAllConnections();
      if (server.listening) await server[Symbol.asyncDispose]();
    },
  };
}

/** The body is a form: `directory`, where the command was given, and its words. Throws when it is not to be done here, or fails. */
async function answer(daemon: LocalDaemon, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (!(Number(request.headers["content-length"]) <= BODY_BYTES_MAX)) throw new Error("no length, or too long");
  const form = new URLSearchParams(await text(request));
  const directory = form.get("directory") ?? "";
  const left = new AbortController();
  response.once("close", () => left.abort());
  if (!isAbsolute(directory)) throw new Error("no directory");
  let lines = "";
  const write = (line: string): void => void (lines += line);
  await parsed(form.getAll("word"), async (url, options) => {
    const { output, recursive, range, transferFromDaemon, transferFromDfdaemon, progress: shown } = options;
    if (output === "-" || recursive || range !== undefined || transferFromDaemon || transferFromDfdaemon)
      throw new Error("of another kind");
    const socket = options.endpoint ?? (options.dataDir === undefined ? undefined : socketIn(options.dataDir));
    if (socket !== undefined && resolve(directory, socket) !== daemon.socketPath) throw new Error("another daemon is meant");
    if (options.config !== undefined || Object.keys(options.set).length > 0) throw new Error("settings may be other ones");
    const progress = startLines(titleOf(url), realClock, shown ? write : () => undefined);
    const summary = await getAtOnce(daemon, { url, options, directory, left: left.signal, onProgress: (state) => progress.update(state) });
    progress.stop();
    if (summary === undefined) return void response.destroy(); // nothing is said for certain: the output may just have been made
    write(`${JSON.stringify(doneOf(summary))}\n`);
  });
  response.end(lines);
}

/** Throws what commander or the action throws. */
async function parsed(words: readonly string[], action: GetAction): Promise<void> {
  const get = command(action)
    .exitOverride()
    .configureOutput({ writeOut: () => undefined, writeErr: () => undefined });
  if (get.options.some(({ envVar }) => envVar !== undefined && process.env[envVar] !== undefined)) throw new Error("of this process");
  await get.parseAsync([...words], { from: "user" });
}
