import { createPrivateKey, webcrypto, X509Certificate as NodeCertificate } from "node:crypto";
import { chmod, mkdir, readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { createSecureContext, type SecureContext } from "node:tls";
import type { Clock } from "../../base/clock.ts";
import { AnaxError, errorOf, systemCodeOf } from "../../base/errors.ts";
import { replaceFile } from "../../disk/atomic-replace.ts";
import { Lru } from "./lru.ts";
import { loadX509, type X509 } from "./x509.ts";

export interface CertificateAuthority {
  /** Path of the PEM certificate that clients have to trust. */
  readonly certPath: string;
  /** A server context for a host name or address; made when first asked for, then kept. */
  contextFor(hostname: string): Promise<SecureContext>;
}

export interface AuthorityOptions {
  /** Directory for an authority of our own; not used when files are given. */
  readonly dir: string;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  readonly leavesMax: number;
  readonly clock: Clock;
}

const DAY_MS = 86_400_000;
const AUTHORITY_LIFE_MS = 3650 * DAY_MS;
/** Below the 398 days that clients accept. */
const LEAF_LIFE_MS = 365 * DAY_MS;
const RENEW_BEFORE_MS = 7 * DAY_MS;
/** Clocks of clients that run behind must not see a certificate of the future. */
const BACKDATE_MS = DAY_MS;
const EC = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** The given authority, or our own, made at the first start. Throws `config.unreadable`, `config.invalid`, `disk.full`, `disk.io`. */
export async function openAuthority(options: AuthorityOptions): Promise<CertificateAuthority> {
  const x509 = await loadX509();
  const certPath = options.certFile ?? join(options.dir, "ca.crt");
  const keyPath = options.keyFile ?? join(options.dir, "ca.key");
  if (options.certFile === undefined) await ensureOwn(x509, options, { certPath, keyPath });
  const issuer = await load(x509, { certPath, keyPath });
  const leafKeys = await webcrypto.subtle.generateKey(EC, true, ["sign", "verify"]);
  const leafKeyPem = pemOf("PRIVATE KEY", await webcrypto.subtle.exportKey("pkcs8", leafKeys.privateKey));
  const leaves = new Lru<string, { readonly context: SecureContext; readonly untilMs: number }>(options.leavesMax);

  return {
    certPath,
    async contextFor(hostname) {
      const known = leaves.get(hostname);
      const nowMs = options.clock.wallMs();
      if (known !== undefined && known.untilMs > nowMs) return known.context;
      const leaf = await issueLeaf(x509, { issuer, hostname, publicKey: leafKeys.publicKey, nowMs });
      const context = createSecureContext({ key: leafKeyPem, cert: leaf + issuer.pem, ca: issuer.pem, minVersion: "TLSv1.2" });
      leaves.set(hostname, { context, untilMs: nowMs + LEAF_LIFE_MS - RENEW_BEFORE_MS });
      return context;
    },
  };
}

interface Issuer {
  readonly pem: string;
  readonly certificate: InstanceType<X509["X509Certificate"]>;
  readonly key: webcrypto.CryptoKey;
  readonly algorithm: typeof EC | { readonly name: "RSASSA-PKCS1-v1_5"; readonly hash: "SHA-256" };
}

interface Paths {
  readonly certPath: string;
  readonly keyPath: string;
}

/** Makes both files unless both are there. The key is written first: a crash in between leaves a key without a certificate, which is made anew. */
async function ensureOwn(x509: X509, options: AuthorityOptions, paths: Paths): Promise<void> {
  const present = await Promise.all([paths.certPath, paths.keyPath].map(exists));
  if (present.every(Boolean)) return;
  await mkdir(options.dir, { recursive: true, mode: 0o700 });
  const keys = await webcrypto.subtle.generateKey(EC, true, ["sign", "verify"]);
  const nowMs = options.clock.wallMs();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=Anax proxy ${serialNumber().slice(0, 8)}, O=Anax`,
    notBefore: dateOf(nowMs - BACKDATE_MS),
    notAfter: dateOf(nowMs + AUTHORITY_LIFE_MS),
    signingAlgorithm: EC,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  await replaceFile(paths.keyPath, pemOf("PRIVATE KEY", await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)), { mode: 0o600 });
  await chmod(paths.keyPath, 0o600); // whatever the umask made of it
  await replaceFile(paths.certPath, `${certificate.toString("pem")}\n`, { mode: 0o644 });
}

async function load(x509: X509, paths: Paths): Promise<Issuer> {
  const pem = await read(paths.certPath);
  const keyPem = await read(paths.keyPath);
  try {
    const node = new NodeCertificate(pem);
    const privateKey = createPrivateKey(keyPem);
    if (!node.ca || !node.checkPrivateKey(privateKey))
      throw new TypeError(node.ca ? "the key is not the certificate's" : "not a certificate of an authority");
    const pkcs8 = privateKey.export({ type: "pkcs8", format: "der" });
    const rsa = privateKey.asymmetricKeyType === "rsa";
    const namedCurve = privateKey.asymmetricKeyDetails?.namedCurve;
    const imported = rsa ? RSA : { ...EC, namedCurve: CURVES[namedCurve ?? ""] ?? "P-256" };
    const key = await webcrypto.subtle.importKey("pkcs8", pkcs8, imported, false, ["sign"]);
    return { pem: `${pem.trim()}\n`, certificate: new x509.X509Certificate(node.toString()), key, algorithm: rsa ? RSA : EC };
  } catch (thrown) {
    throw new AnaxError("config.invalid", { problems: [`${paths.certPath}: ${errorOf(thrown).message}`] }, { cause: thrown });
  }
}

const RSA = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" } as const;
/** OpenSSL's names of curves, and those of the Web Cryptography API. */
const CURVES: Readonly<Record<string, string>> = { prime256v1: "P-256", secp384r1: "P-384", secp521r1: "P-521" };

async function issueLeaf(
  x509: X509,
  wanted: { readonly issuer: Issuer; readonly hostname: string; readonly publicKey: webcrypto.CryptoKey; readonly nowMs: number },
): Promise<string> {
  const { issuer, hostname, publicKey, nowMs } = wanted;
  const notAfterMs = Math.min(nowMs + LEAF_LIFE_MS, issuer.certificate.notAfter.getTime());
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [{ CN: [hostname.slice(0, 64)] }], // ub-common-name of RFC 5280; clients read the alternative name anyway
    issuer: issuer.certificate.subjectName.toJSON(),
    notBefore: dateOf(nowMs - BACKDATE_MS),
    notAfter: dateOf(notAfterMs),
    signingAlgorithm: issuer.algorithm,
    publicKey,
    signingKey: issuer.key,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([{ type: isIP(hostname) === 0 ? "dns" : "ip", value: hostname }]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.certificate),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
  return `${certificate.toString("pem")}\n`;
}

/** 16 random bytes, the highest bit clear so that it is positive. */
function serialNumber(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = (bytes[0]! & 0x7f) | 0x40; // 16 bytes were just made
  return Buffer.from(bytes).toString("hex");
}

// oxlint-disable-next-line no-restricted-globals -- the library wants a Date; the time in it comes from the clock
const dateOf = (wallMs: number): Date => new Date(wallMs);

function pemOf(label: string, der: ArrayBuffer): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

async function exists(path: string): Promise<boolean> {
  try {
    await readFile(path);
    return true;
  } catch (thrown) {
    if (systemCodeOf(thrown) === "ENOENT") return false;
    throw new AnaxError("config.unreadable", { file: path, reason: systemCodeOf(thrown) ?? String(thrown) }, { cause: thrown });
  }
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (thrown) {
    throw new AnaxError("config.unreadable", { file: path, reason: systemCodeOf(thrown) ?? String(thrown) }, { cause: thrown });
  }
}
