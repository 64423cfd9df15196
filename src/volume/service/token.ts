import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { AnaxError, errorOf } from "../../base/errors.ts";
import { replaceFileSync } from "../../disk/atomic-replace.ts";
import { volumesDir } from "../lifecycle/volume-paths.ts";

const TOKEN = /^[\x21-\x7e]{20,512}$/;
const TOKEN_BYTES = 32;

/** Where a service keeps the token of a data directory. */
export const tokenFileIn = (dataDir: string): string => join(volumesDir(dataDir), "service.token");

/** Makes one for its owner alone where there is none. */
export function ownToken(file: string): string {
  if (!existsSync(file)) {
    mkdirSync(dirname(file), { recursive: true, mode: 0o750 });
    replaceFileSync(file, Buffer.from(`${randomBytes(TOKEN_BYTES).toString("base64url")}\n`), { mode: 0o600 });
  }
  return readToken(file);
}

/** Throws `config.invalid`; never shows what is in the file. */
export function readToken(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, "utf8").trim();
  } catch (thrown) {
    throw new AnaxError("config.invalid", { file, reason: errorOf(thrown).message }, { cause: thrown });
  }
  if (!TOKEN.test(text)) throw new AnaxError("config.invalid", { file, expected: "a token of 20 to 512 visible signs" });
  return text;
}

/** In a time that says nothing about where they differ. */
export const isSame = (given: string, token: string): boolean => timingSafeEqual(digest(given), digest(token));

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
