import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { realClock, type Clock } from "../../src/base/clock.ts";
import { AnaxError } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import { createRegistry } from "../../src/base/metrics.ts";
import { createRandom } from "../../src/base/random.ts";
import { TransferConfig } from "../../src/p2p/daemon/transfer/config.ts";
import { transferMetricsOf } from "../../src/p2p/daemon/transfer/metrics.ts";
import { createPieceClient } from "../../src/p2p/daemon/transfer/piece-client.ts";
import { startPieceServer } from "../../src/p2p/daemon/transfer/piece-server.ts";
import type { ParentAddress, PieceClient, PieceHead, PieceReceipt } from "../../src/p2p/daemon/transfer/types.ts";
import { parseTaskId, type TaskId } from "../../src/p2p/model/ids.ts";
import type { PieceInfo, PieceStore, PieceWriter, StoredTask } from "../../src/p2p/pieces/types.ts";

export const TASK_ID = parseTaskId("5".repeat(64));
export const never = new AbortController().signal;

/** What a piece server asks of a store: one finished task with pieces of any length, in a real file. */
export interface HeldPieces extends Disposable {
  readonly store: Pick<PieceStore, "find">;
  readonly content: Buffer;
  readonly uploadedBytes: number;
  readonly leases: number;
  bytesOf(index: number): Buffer;
}

export function holdPieces(lengths: readonly number[]): HeldPieces {
  const directory = mkdtempSync(join(tmpdir(), "anax-pieces-"));
  const content = randomBytesOf(lengths.reduce((sum, length) => sum + length, 0));
  const path = join(directory, "content");
  writeFileSync(path, content);
  const fd = openSync(path, "r");
  const pieces = piecesOf(content, lengths);
  const state = { uploadedBytes: 0, leases: 0 };
  const task = {
    meta: { id: TASK_ID },
    fd,
    piece: (index: number) => pieces[index],
    lease: () => {
      state.leases++;
      return { [Symbol.dispose]: () => void state.leases-- };
    },
    addUploadedBytes: (bytes: number) => void (state.uploadedBytes += bytes),
  } as unknown as StoredTask; // the rest of a stored task is none of a piece server's business
  return {
    store: { find: (id: TaskId) => (id === TASK_ID ? task : undefined) },
    content,
    get uploadedBytes() {
      return state.uploadedBytes;
    },
    get leases() {
      return state.leases;
    },
    bytesOf: (index) => content.subarray(pieces[index]!.offsetBytes, pieces[index]!.offsetBytes + pieces[index]!.lengthBytes),
    [Symbol.dispose]: () => {
      closeSync(fd);
      rmSync(directory, { recursive: true });
    },
  };
}

function piecesOf(content: Buffer, lengths: readonly number[]): readonly PieceInfo[] {
  let offsetBytes = 0;
  return lengths.map((lengthBytes, index) => {
    const bytes = content.subarray(offsetBytes, offsetBytes + lengthBytes);
    const piece = {
      index,
      offsetBytes,
      lengthBytes,
      crc32: crc32(bytes),
      traffic: "remote-peer",
      parentId: "10.0.0.1-a-1",
      createdAtMs: 1_700_000_000_000,
    };
    offsetBytes += lengthBytes;
    return piece as PieceInfo;
  });
}

/** Random bytes, repeated with an odd period, so that a part at the wrong place shows. */
export function randomBytesOf(bytes: number, seed = 1): Buffer {
  const random = createRandom(seed);
  const period = Buffer.from(Array.from({ length: Math.min(bytes, 65_537) }, () => random.below(256)));
  return bytes === 0 ? period : Buffer.alloc(bytes, period);
}

/** A writer that keeps the bytes and, like the real one, judges them by checksum at the end. */
export class MemoryWriter implements PieceWriter {
  readonly chunks: Buffer[] = [];
  readonly #crc32: number | undefined;
  readonly inPlace = true;
  state: "open" | "stored" | "aborted" = "open";
  #busy = false;

  constructor(crc: number | undefined) {
    this.#crc32 = crc;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  writeNow(): boolean {
    return false; // as a disk that makes its writers wait
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.#busy || this.state !== "open") throw new Error("written to out of turn");
    this.#busy = true;
    await new Promise((resolve) => setImmediate(resolve)); // as a disk would; a buffer that is used again too early shows
    this.chunks.push(Buffer.from(chunk));
    this.#busy = false;
  }

  async finish(): Promise<"stored"> {
    if (this.#busy) throw new Error("finished while writing");
    if (this.#crc32 !== undefined && crc32(this.bytes) !== this.#crc32) throw new AnaxError("piece.digest-mismatch");
    this.state = "stored";
    return "stored";
  }

  abort(): void {
    if (this.#busy || this.state === "stored") throw new Error("aborted out of turn");
    this.state = "aborted";
  }
}

export const transferConfig = (settings: Readonly<Record<string, unknown>> = {}): TransferConfig => TransferConfig.parse(settings);

export const transferMetrics = () => transferMetricsOf(createRegistry({ runtime: false }));

export function startServer(
  held: Pick<HeldPieces, "store">,
  settings: Readonly<Record<string, unknown>> = {},
  clock: Clock = realClock,
  port = 0,
) {
  const options = { host: "127.0.0.1", port, store: held.store, clock, log: silentLog };
  return startPieceServer({ ...options, config: transferConfig(settings), metrics: transferMetrics() });
}

export function openClient(settings: Readonly<Record<string, unknown>> = {}, clock: Clock = realClock): PieceClient {
  return createPieceClient({ config: transferConfig(settings), clock, log: silentLog, metrics: transferMetrics() });
}

export const addressOf = (server: { readonly port: number }, keepsConnection = true): ParentAddress => ({
  ip: "127.0.0.1",
  port: server.port,
  keepsConnection,
});

export interface Fetched {
  readonly writer: MemoryWriter;
  readonly receipt: PieceReceipt;
}

/** Fetches a piece into memory. */
export async function fetchPiece(client: PieceClient, parent: ParentAddress, index: number, signal: AbortSignal = never): Promise<Fetched> {
  let writer: MemoryWriter | undefined;
  const open = (head: PieceHead): PieceWriter => (writer = new MemoryWriter(head.crc32));
  try {
    const receipt = await client.fetch({ parent, taskId: TASK_ID, index, open, signal });
    return { writer: writer!, receipt }; // a receipt means that it was opened
  } catch (thrown) {
    if (writer !== undefined && writer.state !== "aborted") throw new Error("a failed fetch must abort its writer", { cause: thrown });
    throw thrown;
  }
}

/** A TCP server that plays a parent by hand. Disposing destroys its sockets. */
export async function playParent(serve: (socket: Socket, place: number) => void): Promise<AsyncDisposable & { readonly port: number }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}); // resets are part of the game
    serve(socket, sockets.size - 1);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A raw connection, as a stranger would make one. */
export async function rawConnection(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}
