import type { Stats } from "node:fs";
import { isAbsolute } from "node:path";
import type { Command } from "commander";
import { realClock } from "../base/clock.ts";
import { AnaxError, systemCodeOf } from "../base/errors.ts";
import type { GrpcCaller } from "../wire/grpc/caller.ts";
import { SocketChannel } from "../wire/grpc/socket-channel.ts";
import { defaultDataDir, settingsFile, socketIn } from "../node/paths.ts";
import { withSettings, type SettingOptions } from "./options.ts";

// An `import` of it would load its streams, too, which takes longer than all that is done with it here.
const { accessSync, constants, statSync } = process.getBuiltinModule("node:fs");

/** Answers carry whole pieces when the daemon sends content through the socket. */
const ANSWER_BYTES_MAX = 80 * 1024 * 1024;

/** For calls that the daemon answers from memory or disk. */
export const CALL_TIMEOUT_MS = 15_000;

/** The launcher has just asked this user's daemon for the same, and lost it before the answer (bin/anax.sh): there was one, and may be one again; and it may have made the output. */
export const BEGUN_BEFORE = process.env["ANAX_GET_BEGUN"] === "1";

export interface EndpointOptions extends SettingOptions {
  readonly endpoint?: string;
}

/** The options by which a command finds the local daemon. */
export function withEndpoint(command: Command): Command {
  return withSettings(command).option("-e, --endpoint <socket>", "Unix socket of the daemon (default: from the settings)");
}

export interface LocalDaemon extends Disposable {
  readonly channel: GrpcCaller;
  readonly socketPath: string;
  /** It has been there: when it is gone now, it may come back. */
  readonly reached: boolean;
  /** The daemon runs as another user, so that files it writes would not be ours. */
  readonly foreignUser: boolean;
}

/** A channel to the local daemon. Throws `daemon.unreachable` when its socket is not there, `daemon.denied` when it is not for this user. */
export async function connectDaemon(options: EndpointOptions): Promise<LocalDaemon> {
  const socketPath = await socketPathFor(options);
  const found = mustBeOurs(socketPath);
  const channel = new SocketChannel(socketPath, { clock: realClock, receiveBytesMax: ANSWER_BYTES_MAX });
  channel.connect(); // the daemon makes itself ready while this command loads what it asks with
  const foreignUser = process.getuid !== undefined && process.getuid() !== (found?.uid ?? process.getuid());
  return {
    channel,
    socketPath,
    get reached() {
      return channel.reached || BEGUN_BEFORE;
    },
    foreignUser,
    [Symbol.dispose]: () => channel[Symbol.dispose](),
  };
}

/** Synchronous: a command has nothing else to do, and the threads for anything else would first have to be started. */
function mustBeOurs(socketPath: string): Stats | undefined {
  let found: Stats | undefined;
  try {
    found = statSync(socketPath);
    accessSync(socketPath, constants.W_OK);
    return found;
  } catch (cause) {
    if (found !== undefined || systemCodeOf(cause) === "EACCES") throw denied(socketPath, found?.gid);
    if (BEGUN_BEFORE) return undefined;
    throw unreachable(socketPath, cause);
  }
}

/** All settings are read only where one besides the data directory can say where the socket is: that takes longer than a small download. */
async function socketPathFor(options: EndpointOptions): Promise<string> {
  if (options.endpoint !== undefined) return options.endpoint;
  const dataDir = options.dataDir ?? process.env["ANAX_DATA_DIR"] ?? defaultDataDir(process.env);
  const said =
    settingsFile(options.config, process.env) !== undefined ||
    Object.keys(options.set).length > 0 ||
    process.env["ANAX_P2P_DAEMON_SOCKET_PATH"] !== undefined;
  if (!said && isAbsolute(dataDir)) return socketIn(dataDir);
  const [{ settingsOf }, { socketPathOf }] = await Promise.all([import("./settings.ts"), import("../node/config.ts")]);
  return socketPathOf(settingsOf(options));
}

/** Runs a call on the local daemon; a dead socket becomes one error that says how to start a daemon. */
export async function withDaemon<T>(options: EndpointOptions, use: (daemon: LocalDaemon) => Promise<T>): Promise<T> {
  using daemon = await connectDaemon(options);
  try {
    return await use(daemon);
  } catch (thrown) {
    if (thrown instanceof AnaxError && thrown.code === "rpc.unavailable") throw unreachable(daemon.socketPath, thrown);
    throw thrown;
  }
}

/** Sockets are open to their user and group only. */
const denied = (socket: string, groupId: number | undefined): AnaxError =>
  new AnaxError("daemon.denied", { socket, hint: "run as its user, or join its group", groupId });

const unreachable = (socket: string, cause: unknown): AnaxError =>
  new AnaxError("daemon.unreachable", { socket, hint: "start one with: anax up, or: anax daemon" }, { cause });
