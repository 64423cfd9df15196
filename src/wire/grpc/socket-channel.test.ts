import { conformsAsCaller } from "./caller.conformance.ts";
import { SocketChannel } from "./socket-channel.ts";

conformsAsCaller("socket", (path, options) => new SocketChannel(path, options));
