import type { Store } from "../store.ts";

/** This machine's own addresses. */
export const isLoopback = (address: string): boolean => /^(127\.|::1$|::ffff:127\.|\[::1\])/.test(address);

const PROTECTED =
  "DENIED This server is in protected mode: the default user has no password, so that only clients on the same machine may connect. Set a password " +
  "(CONFIG SET requirepass, or requirepass in the configuration), or switch the mode off (CONFIG SET protected-mode no) where nobody else can reach the port.";

/** Why a new connection is closed at once; undefined: it is welcome. */
export function admissionRefusal(store: Store, address: string | undefined): string | undefined {
  const { parameters, clients, acl } = store;
  if (clients.size >= parameters.maxclients) return "ERR max number of clients reached";
  if (parameters["protected-mode"] && acl.default.noPassword && address !== undefined && !isLoopback(address)) return PROTECTED;
  return undefined;
}
