import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { CHECKSUM_NAMES, createChecksum, type ChecksumName } from "./checksum.ts";

/** Check values of the catalogue of CRC algorithms, and of FIPS 180: of the nine digits. */
const OF_DIGITS: Readonly<Record<ChecksumName, string>> = {
  CRC32: "cbf43926",
  CRC32C: "e3069283",
  CRC64NVME: "ae8b14860a799888",
  SHA1: "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
  SHA256: "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
};

for (const name of CHECKSUM_NAMES) {
  const of = (...parts: readonly Uint8Array[]): string => {
    const digest = createChecksum(name);
    for (const part of parts) digest.update(part);
    return digest.digest().toString("hex");
  };
  test(`${name} is what its standard says, however the content comes`, () => {
    assert.equal(of(Buffer.from("123456789")), OF_DIGITS[name]);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (bytes, at) => {
        const single = [...bytes].map((byte) => Uint8Array.of(byte));
        assert.equal(of(bytes), of(...single));
        assert.equal(of(bytes), of(bytes.subarray(0, at), bytes.subarray(at)));
      }),
    );
  });
}
