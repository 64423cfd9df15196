import type { Clock } from "../../base/clock.ts";
import type { VolumeRecord } from "../lifecycle/volume-record.ts";
import type { Volumes } from "../lifecycle/volumes.ts";
import { claimOf, verify, type Claim, type Signing } from "./authorization.ts";
import type { S3Config } from "./config.ts";
import type { S3Request } from "./request.ts";
import { S3Error } from "./s3-error.ts";

/** Who asks, by a signature that was verified. */
export interface Caller {
  readonly keyId: string;
  /** Volume that the key was made for. */
  readonly volumeUuid: string;
  readonly payload: string;
  readonly signing: Signing;
}

/** What is known of keys and buckets is believed for so long: a key that was withdrawn opens nothing afterwards. */
const BELIEVED_MS = 1000;
const REMEMBERED_MAX = 4096;

interface AccessOptions {
  readonly volumes: Volumes;
  readonly config: Pick<S3Config, "clockSkewMs">;
  readonly clock: Clock;
}

/** Which key may do what: each opens its volume, and those that were created with it. */
export class Access {
  readonly #options: AccessOptions;
  readonly #keys: Remembered<ReturnType<Volumes["accessKey"]>>;
  readonly #records: Remembered<VolumeRecord | undefined>;

  constructor(options: AccessOptions) {
    this.#options = options;
    this.#keys = new Remembered(options.clock, (id) => options.volumes.accessKey(id));
    this.#records = new Remembered(options.clock, (name) => options.volumes.find(name));
  }

  /** Throws what is wrong with the signature; `NoSuchBucket` to who had the key of a volume that is deleted. */
  caller(request: S3Request): Caller {
    const claim = claimOf(request);
    const { clock, config } = this.#options;
    const key = this.#keys.get(claim.keyId);
    if (key === undefined) throw new S3Error("InvalidAccessKeyId");
    const signing = verify(request, claim, { secret: key.secret, nowMs: clock.wallMs(), skewMs: config.clockSkewMs });
    if (key.volume === undefined) throw this.#withdrawn(request);
    return { keyId: claim.keyId, volumeUuid: key.volume, payload: claim.payload, signing };
  }

  /** The volume that is this bucket. Throws `NoSuchBucket`, `AccessDenied`. */
  bucket(name: string, caller: Caller): VolumeRecord {
    const record = this.#records.get(name);
    if (record === undefined || record.name !== name || record.state === "purging" || record.state === "deleted")
      throw new S3Error("NoSuchBucket");
    if (!isFor(record, caller)) throw new S3Error("AccessDenied");
    return record;
  }

  /** All that the caller may open. */
  buckets(caller: Caller): readonly VolumeRecord[] {
    return this.#options.volumes
      .list()
      .filter((record) => (record.state === "active" || record.state === "deleting") && isFor(record, caller));
  }

  /** Something of it has just been changed here. */
  forget(name: string): void {
    this.#records.forget(name);
  }

  /** Its signature was right, so that it once had the key: of a volume that is gone, or one that was taken away. */
  #withdrawn({ bucket }: S3Request): S3Error {
    const gone = bucket !== undefined && this.#options.volumes.find(bucket) === undefined;
    return new S3Error(gone ? "NoSuchBucket" : "InvalidAccessKeyId");
  }
}

/** Owner of volumes that were created with a key. */
export const ownerOf = (keyId: Claim["keyId"]): string => `s3:${keyId}`;

const isFor = ({ uuid, owner }: VolumeRecord, { keyId, volumeUuid }: Caller): boolean => uuid === volumeUuid || owner === ownerOf(keyId);

/** Answers that hold for a moment. */
class Remembered<T> {
  readonly #clock: Clock;
  readonly #ask: (name: string) => T;
  readonly #answers = new Map<string, { readonly value: T; readonly untilMs: number }>();

  constructor(clock: Clock, ask: (name: string) => T) {
    this.#clock = clock;
    this.#ask = ask;
  }

  get(name: string): T {
    const nowMs = this.#clock.nowMs();
    const known = this.#answers.get(name);
    if (known !== undefined && nowMs < known.untilMs) return known.value;
    const value = this.#ask(name);
    this.#answers.delete(name);
    this.#answers.set(name, { value, untilMs: nowMs + BELIEVED_MS });
    const [oldest] = this.#answers.keys();
    if (this.#answers.size > REMEMBERED_MAX && oldest !== undefined) this.#answers.delete(oldest);
    return value;
  }

  forget(name: string): void {
    this.#answers.delete(name);
  }
}
