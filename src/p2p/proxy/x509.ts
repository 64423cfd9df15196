import type * as library from "@peculiar/x509";

export type X509 = typeof library;

/** Loads the certificate library, which is large, only where certificates are made. Its dependency injection needs the metadata shim first. */
export async function loadX509(): Promise<X509> {
  await import("reflect-metadata");
  return import("@peculiar/x509");
}
