import { createPublicKey, generateKeyPairSync, sign, verify, type KeyObject } from "node:crypto";
import { AnaxError } from "../../../base/errors.ts";
import type { BlockHashes } from "../../../wire/mesh/frames.ts";
import type { TaskMeta } from "../../model/types.ts";

/** What the hashes are of. */
export interface ProvenPiece {
  readonly piece: number;
  readonly lengthBytes: number;
  readonly blockBytes: number;
  readonly crc32: number;
}

/** Public keys as Node takes them in are this followed by the 32 raw bytes (RFC 8410). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
const CONTEXT = Buffer.from("anax-proof-1\n");
const KEYS_MAX = 256;

/** Signs the hashes of blocks as this host, with a key that lives as long as the process. */
export class Voucher {
  /** Raw, 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly #privateKey: KeyObject;

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    this.#privateKey = privateKey;
    this.publicKey = publicKey.export({ type: "spki", format: "der" }).subarray(SPKI_PREFIX.length);
  }

  vouch(meta: TaskMeta, piece: ProvenPiece, hashes: Uint8Array): BlockHashes {
    return { hashes, key: this.publicKey, signature: sign(null, statementOf(meta, piece, hashes), this.#privateKey) };
  }
}

/** The keys whose word is taken for a task: those of hosts that read its source, as the scheduler names them. */
export class TrustedKeys {
  /** By the hex of their bytes; undefined until one's word is to be judged, which most tasks do not come to, and small ones are many. */
  readonly #keys = new Map<string, KeyObject | undefined>();

  get size(): number {
    return this.#keys.size;
  }

  /** Beyond a limit the oldest is forgotten. Bytes that are no key are ignored. */
  add(raw: Uint8Array): void {
    const name = nameOf(raw);
    if (raw.length !== 32 || this.#keys.has(name)) return;
    this.#keys.set(name, undefined);
    if (this.#keys.size > KEYS_MAX) this.#keys.delete(this.#keys.keys().next().value!); // it is not empty
  }

  /** True when a host whose word counts says so; false when one says so whose word does not. Throws `piece.digest-mismatch` for a forged word. */
  proves(meta: TaskMeta, piece: ProvenPiece, { hashes, key, signature }: BlockHashes): boolean {
    const name = nameOf(key);
    if (!this.#keys.has(name)) return false;
    const trusted = this.#keys.get(name) ?? publicKeyOf(key);
    this.#keys.set(name, trusted);
    if (verify(null, statementOf(meta, piece, hashes), trusted, signature)) return true;
    throw new AnaxError("piece.digest-mismatch", { taskId: meta.id, index: piece.piece, reason: "a forged signature" });
  }
}

/** Everything that a signed list of hashes could be mistaken for is part of what is signed. */
function statementOf(meta: TaskMeta, { piece, lengthBytes, blockBytes, crc32 }: ProvenPiece, hashes: Uint8Array): Buffer {
  const facts = Buffer.alloc(64);
  facts.write(meta.id, 0, "hex");
  facts.writeBigUInt64BE(BigInt(meta.contentLength), 32);
  facts.writeBigUInt64BE(BigInt(meta.pieceLength), 40);
  facts.writeUInt32BE(piece, 48);
  facts.writeUInt32BE(lengthBytes, 52);
  facts.writeUInt32BE(blockBytes, 56);
  facts.writeUInt32BE(crc32 >>> 0, 60);
  return Buffer.concat([CONTEXT, facts, hashes]);
}

const publicKeyOf = (raw: Uint8Array): KeyObject =>
  createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: "der", type: "spki" });

const nameOf = (key: Uint8Array): string => Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("hex");
