import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { isIP } from "node:net";
import { realClock } from "../../src/base/clock.ts";

export interface TestCertificate {
  /** PEM of the authority that signed it. */
  readonly ca: string;
  readonly key: string;
  readonly cert: string;
}

const DAY_MS = 86_400_000;

/** A certificate for these host names and IPv4 addresses, by an authority of its own that nobody trusts yet (RFC 5280, ECDSA P-256). */
export function createTestCertificate(names: readonly string[]): TestCertificate {
  const authority = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const server = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const issuer = { name: "test authority", key: authority.privateKey };
  const isAuthority = extension("551d13", sequence(Buffer.from("0101ff", "hex")));
  const ca = certificate({ subject: issuer.name, publicKey: authority.publicKey, issuer, extensions: [isAuthority] });
  const alternatives = names.map((name) =>
    isIP(name) === 4 ? der(0x87, Buffer.from(name.split(".").map(Number))) : der(0x82, Buffer.from(name)),
  );
  const cert = certificate({
    subject: "test server",
    publicKey: server.publicKey,
    issuer,
    extensions: [extension("551d11", sequence(...alternatives))],
  });
  return { ca, cert, key: server.privateKey.export({ format: "pem", type: "pkcs8" }).toString() };
}

function certificate(parts: {
  readonly subject: string;
  readonly publicKey: KeyObject;
  readonly issuer: { readonly name: string; readonly key: KeyObject };
  readonly extensions: readonly Buffer[];
}): string {
  const algorithm = sequence(oid("2a8648ce3d040302")); // ecdsa-with-SHA256
  const nowMs = realClock.wallMs();
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))), // version 3
    der(0x02, Buffer.concat([Buffer.from([1]), Buffer.from(parts.subject)])), // any positive number, different for each
    algorithm,
    nameOf(parts.issuer.name),
    sequence(timeOf(nowMs - DAY_MS), timeOf(nowMs + DAY_MS)),
    nameOf(parts.subject),
    parts.publicKey.export({ format: "der", type: "spki" }),
    der(0xa3, sequence(...parts.extensions)),
  );
  const signature = sign("sha256", body, parts.issuer.key);
  const whole = sequence(body, algorithm, der(0x03, Buffer.concat([Buffer.from([0]), signature])));
  const lines = whole.toString("base64").replaceAll(/(.{64})/g, "$1\n");
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

/** Tag, length, value (X.690 §8.1), for values below 64 KiB. */
function der(tagByte: number, value: Buffer): Buffer {
  const { length } = value;
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tagByte, ...head]), value]);
}

const sequence = (...items: readonly Buffer[]): Buffer => der(0x30, Buffer.concat(items));

const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, "hex"));

const extension = (id: string, value: Buffer): Buffer => sequence(oid(id), der(0x04, value));

const nameOf = (text: string): Buffer => sequence(der(0x31, sequence(oid("550403"), der(0x0c, Buffer.from(text)))));

/** UTCTime `YYMMDDhhmmssZ`. */
function timeOf(ms: number): Buffer {
  // oxlint-disable-next-line no-restricted-globals -- only a format; the time is the clock's
  const text = new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  return der(0x17, Buffer.from(text.slice(2)));
}
