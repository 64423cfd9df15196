import { chmod, lstat, unlink } from "node:fs/promises";
import { connect } from "node:net";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";
import { checkedSocket } from "./address.ts";

/** Programs of the same user and group may talk to us, nobody else. */
const SOCKET_MODE = 0o660;

/**
 * Makes room for a socket at `path`: one that a crashed process left behind is removed, one that somebody answers on is not.
 * Throws `listen.address-in-use`; `listen.failed` when the path is something else than a socket.
 */
export async function clearStaleSocket(path: string): Promise<void> {
  checkedSocket(path);
  const found = await lstat(path).catch((error: unknown) => {
    if (systemCodeOf(error) === "ENOENT") return undefined;
    throw new AnaxError("listen.failed", { address: path }, { cause: error });
  });
  if (found === undefined) return;
  if (!found.isSocket()) throw new AnaxError("listen.failed", { address: path, reason: "the path exists and is no socket" });
  if (await answers(path)) throw new AnaxError("listen.address-in-use", { address: path });
  await unlink(path);
}

export const restrictSocket = (path: string): Promise<void> => chmod(path, SOCKET_MODE);

/** Only a refused connection proves that nobody listens: a full backlog (EAGAIN) or a missing right proves nothing. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    const end = (alive: boolean): void => {
      probe.destroy();
      resolve(alive);
    };
    probe.once("connect", () => end(true));
    probe.once("error", (error) => end(systemCodeOf(error) !== "ECONNREFUSED"));
  });
}
