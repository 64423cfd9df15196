import { AnaxError, type ErrorCode } from "../../src/base/errors.ts";

/** For `assert.rejects`: whether it is our error with this code. */
export const hasCode =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    error instanceof AnaxError && error.code === code;
