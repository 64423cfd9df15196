import { constants } from "node:fs";
import { access } from "node:fs/promises";
import type { Clock } from "../../base/clock.ts";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";
import { ContentService } from "../../wire/grpc/gen/containerd/services/content/v1/content.ts";
import { SocketChannel } from "../../wire/grpc/socket-channel.ts";
import { MANIFEST_BYTES_MAX } from "./manifest.ts";

export interface SocketPlace {
  readonly path: string;
  /** Nobody said that it is there: its absence means nothing. */
  readonly usual: boolean;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** A list of containers has some hundred bytes for each. */
const RECEIVE_BYTES_MAX = 16 * 1024 * 1024;

/** Undefined: there is none, and need not be. Throws the system's error where it is missing, or this user may not use it. */
export async function openRuntime({ path, usual, clock }: SocketPlace): Promise<SocketChannel | undefined> {
  try {
    await access(path, constants.W_OK);
  } catch (thrown) {
    if (usual && systemCodeOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  }
  return new SocketChannel(path, { clock, receiveBytesMax: RECEIVE_BYTES_MAX });
}

/** Where a call on behalf of this namespace of containerd says so. */
export const inNamespace = (namespace: string) => ({ "containerd-namespace": namespace });

/** A manifest of containerd's; undefined when it has none of this digest, or is not containerd. */
export async function readContent(
  channel: SocketChannel,
  digest: string,
  call: { readonly namespace: string; readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<Uint8Array | undefined> {
  const { namespace, signal, timeoutMs } = call;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    const headers = inNamespace(namespace);
    for await (const { data } of channel.serverStream(
      ContentService.read,
      { digest, offset: 0, size: 0 },
      { signal, timeoutMs, headers },
    )) {
      bytes += data.length;
      if (bytes > MANIFEST_BYTES_MAX) return undefined; // no manifest is so long
      chunks.push(data);
    }
    return Buffer.concat(chunks);
  } catch (thrown) {
    if (isOf(thrown, "rpc.not-found") || isOf(thrown, "rpc.unimplemented")) return undefined;
    throw thrown;
  }
}

export const isOf = (thrown: unknown, code: AnaxError["code"]): boolean => thrown instanceof AnaxError && thrown.code === code;
