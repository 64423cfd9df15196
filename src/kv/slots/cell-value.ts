import { z } from "zod";
import { AnaxError } from "../../base/errors.ts";

/** JSON of this form that a cell of the register holds. Throws `register.invalid`. */
export function valueIn<T>(form: z.ZodType<T>, text: string): T {
  const parsed = form.safeParse(jsonOf(text));
  if (!parsed.success) throw new AnaxError("register.invalid", { reason: z.prettifyError(parsed.error).slice(0, 500) });
  return parsed.data;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
