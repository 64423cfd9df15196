import { AnaxError, type ErrorDetails } from "../../base/errors.ts";

/** The other side does not speak HTTP/2 as the standard has it. */
export const malformed = (reason: string, details: ErrorDetails = {}): AnaxError =>
  new AnaxError("rpc.internal", { reason: `HTTP/2: ${reason}`, ...details });
