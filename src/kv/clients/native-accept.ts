import { Socket, type Server } from "node:net";
import type { NativeConnections } from "../../disk/native-connections.ts";
import { descriptorUnder } from "../../disk/native-socket.ts";

/** Connections taken at once. */
const ACCEPTED_MAX = 100;

/** Accepts what waits at a server while its event loop cannot run. Without the system call connections wait until the loop runs again. */
export function acceptWaiting(server: Server, native: NativeConnections | undefined, accept: (socket: Socket) => void): void {
  const listening = descriptorUnder(server);
  if (native === undefined || listening < 0) return;
  for (let count = 0; count < ACCEPTED_MAX; count++) {
    const fd = native.accept(listening);
    if (fd < 0) return;
    accept(new Socket({ fd, readable: true, writable: true }));
  }
}
