import { createHash, createHmac, randomBytes, randomUUID, timingSafeEqual } from "node:crypto";
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";
import { replaceFileSync } from "../../disk/atomic-replace.ts";
import { diskErrorOf } from "../../disk/disk-error.ts";
import { volumesDir } from "./volume-paths.ts";

const MASTER_BYTES = 32;

/** The key from which secrets of access keys are derived: 32 random bytes in a file that only its owner reads. Made when it is not there. */
export function masterKeyOf(dataDir: string): Buffer {
  const path = join(volumesDir(dataDir), "access-keys.master");
  if (!existsSync(path)) {
    mkdirSync(volumesDir(dataDir), { recursive: true, mode: 0o750 });
    const mine = `${path}.${randomUUID()}`;
    replaceFileSync(mine, randomBytes(MASTER_BYTES), { mode: 0o600 });
    try {
      linkSync(mine, path); // fails where another process was first, whose key then counts
    } catch (error) {
      if (systemCodeOf(error) !== "EEXIST") throw diskErrorOf(error, { path });
    } finally {
      rmSync(mine);
    }
  }
  const key = readFileSync(path);
  if (key.length !== MASTER_BYTES) throw new AnaxError("disk.corrupt", { path, reason: "not 32 bytes" });
  return key;
}

/** Twenty signs, as clients of S3 expect. */
export const newKeyId = (): string => `ANAX${randomBytes(10).toString("hex").toUpperCase().slice(0, 16)}`;

export const isKeyId = (text: string): boolean => /^ANAX[0-9A-F]{16}$/.test(text);

/**
 * The secret of an access key. It is stored nowhere: signatures of version 4 need it in clear, so it must be computed anew, and a copy of the catalog alone gives none
 * away.
 */
export const secretOf = (master: Uint8Array, keyId: string): string =>
  createHmac("sha256", master).update(`access-key:${keyId}`).digest("base64url").slice(0, 43);

export const sha256Of = (text: string): string => createHash("sha256").update(text).digest("hex");

/** Compares in a time that says nothing about where they differ. */
export const sameSecret = (secret: string, secretSha256: string): boolean =>
  timingSafeEqual(Buffer.from(sha256Of(secret)), Buffer.from(secretSha256.padEnd(64).slice(0, 64)));
