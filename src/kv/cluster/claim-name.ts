import { randomBytes } from "node:crypto";

/** A name that no other claim has. */
export const claimName = (kind: string): string => `${kind}/${randomBytes(8).toString("hex")}`;

/** Claims by which slots go with CLUSTER SETSLOT are named so: whoever lost them that way has sent the keys on. */
export const SETSLOT = "setslot";

/** Claims by which a replica gets the slots of its primary. */
export const FAILOVER = "failover";
