import { openChannel } from "./client.ts";
import { conformsAsCaller } from "./caller.conformance.ts";

conformsAsCaller("grpc-js", (path, options) => openChannel({ path }, options));
