import { constants } from "node:os";
import { NAME_BYTES_MAX, type Outcome } from "../verbs.ts";

const { EINVAL, ENAMETOOLONG } = constants.errno;

/** What is wrong with the name of an entry that is to be made, or looked for. */
export function nameError(name: string): Outcome {
  if (name.length > NAME_BYTES_MAX) return ENAMETOOLONG;
  return name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0") ? EINVAL : 0;
}
