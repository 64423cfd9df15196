import type * as library from "@peculiar/x509";

export type X509 = typeof library;

type Metadata = Map<unknown, unknown>;

interface MetadataReflect {
  getMetadata?(key: unknown, target: object): unknown;
  getOwnMetadata?(key: unknown, target: object): unknown;
  defineMetadata?(key: unknown, value: unknown, target: object): void;
}

/** Loads the certificate library, which is large, only where certificates are made. */
export async function loadX509(): Promise<X509> {
  ensureReflectMetadata();
  return import("@peculiar/x509");
}

/**
 * The library's dependency injection asks for the withdrawn Reflect metadata proposal, of which it uses three functions.
 * Left alone where a full implementation is loaded.
 */
function ensureReflectMetadata(): void {
  const reflect = Reflect as MetadataReflect;
  if (reflect.getMetadata !== undefined) return;
  const store = new WeakMap<object, Metadata>();
  const own = (key: unknown, target: object): unknown => store.get(target)?.get(key);
  reflect.getOwnMetadata = own;
  reflect.getMetadata = (key, target) => {
    for (let at: object | null = target; at !== null; at = Object.getPrototypeOf(at) as object | null) {
      const value = own(key, at);
      if (value !== undefined) return value;
    }
    return undefined;
  };
  reflect.defineMetadata = (key, value, target) => {
    const metadata = store.get(target) ?? new Map<unknown, unknown>();
    store.set(target, metadata.set(key, value));
  };
}
