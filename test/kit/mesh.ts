import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { realClock, type Clock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { BlockClient, type BlockAddress } from "../../src/p2p/daemon/mesh/block-client.ts";
import { BlockServing, type Admission } from "../../src/p2p/daemon/mesh/block-server.ts";
import { MeshConfig } from "../../src/p2p/daemon/mesh/config.ts";
import { Feed, type Arrival } from "../../src/p2p/daemon/mesh/feed.ts";
import { Outgoing } from "../../src/p2p/daemon/mesh/outgoing.ts";
import { PieceReceiver, type Received, type ReceiverOptions } from "../../src/p2p/daemon/mesh/piece-receiver.ts";
import { TrustedKeys, Voucher, type ProvenPiece } from "../../src/p2p/daemon/mesh/proof.ts";
import { UploadSlots } from "../../src/p2p/daemon/mesh/upload-slots.ts";
import type { RateLimits } from "../../src/p2p/daemon/rates/types.ts";
import { loadNativeSocket } from "../../src/disk/native-socket.ts";
import { startPieceServer } from "../../src/p2p/daemon/transfer/piece-server.ts";
import { blockBytesOf, pieceCountOf, pieceRangeOf } from "../../src/p2p/model/piece.ts";
import { PiecesConfig } from "../../src/p2p/pieces/config.ts";
import { aContent, pieceOf, storeAll, type TestContent } from "../../src/p2p/pieces/piece-store.conformance.ts";
import { openPieceStore } from "../../src/p2p/pieces/store.ts";
import type { PieceWriter, StoredTask } from "../../src/p2p/pieces/types.ts";
import type { BlockHashes } from "../../src/wire/mesh/frames.ts";
import { transferConfig, transferMetrics } from "./transfer.ts";

// The data plane of the mesh between real stores over real sockets, without the control streams that would lead it.

/** Four pieces of four blocks each; the last piece and its last block are shorter. */
export const meshContent = (): TestContent => aContent({ seed: 5, bytes: 2_000_002, pieceBytes: 524_288 });

/** Content of these bytes. */
export const contentOf = (bytes: Buffer, pieceLength: number): TestContent => {
  const layout = { contentLength: bytes.length, pieceLength };
  return { meta: { ...meshContent().meta, ...layout, pieceCount: pieceCountOf(layout) }, bytes };
};

/** What is said of a piece before its blocks. */
export function factsOf(content: TestContent, piece: number): ProvenPiece {
  const bytes = pieceOf(content, piece);
  return { piece, lengthBytes: bytes.length, blockBytes: blockBytesOf(content.meta.pieceLength), crc32: crc32(bytes) };
}

/** The blocks of a piece. */
export function blocksOf(content: TestContent, piece: number): Buffer[] {
  const bytes = pieceOf(content, piece);
  const { blockBytes } = factsOf(content, piece);
  return Array.from({ length: Math.ceil(bytes.length / blockBytes) }, (_, at) => bytes.subarray(at * blockBytes, (at + 1) * blockBytes));
}

/** An empty task in a store on disk. */
export async function anEmptyTask(scope: AsyncDisposableStack, content: TestContent): Promise<StoredTask> {
  const dir = await mkdtemp(join(tmpdir(), "anax-mesh-"));
  scope.defer(() => rm(dir, { recursive: true, force: true }));
  const store = scope.use(await openPieceStore({ dir, clock: realClock, log: silentLog, config: PiecesConfig.parse({}) }));
  return store.open(content.meta);
}

export interface MeshNodeOptions {
  readonly content: TestContent;
  /** It has everything. */
  readonly whole?: boolean;
  /** Its word counts: it read the source. Default: as `whole`. */
  readonly authority?: boolean;
  readonly slots?: number;
  readonly clock?: Clock;
  readonly mesh?: Readonly<Record<string, unknown>>;
  readonly transfer?: Readonly<Record<string, unknown>>;
  /** Decides instead of what the node has. */
  readonly admission?: (ordinary: Admission) => Admission;
  readonly limits?: RateLimits;
}

/** One host of a mesh: a store, what it gives and a client for what it wants. */
export interface MeshNode {
  readonly content: TestContent;
  readonly stored: StoredTask;
  readonly feed: Feed;
  readonly voucher: Voucher;
  readonly keys: TrustedKeys;
  readonly slots: UploadSlots;
  readonly client: BlockClient;
  readonly address: BlockAddress;
  /** Connections of others that it serves. */
  readonly servedConnections: () => number;
  /** Bytes of blocks that it has sent. */
  readonly sentBytes: () => number;
}

export async function aMeshNode(scope: AsyncDisposableStack, options: MeshNodeOptions): Promise<MeshNode> {
  const { content, whole = false, authority = whole, clock = realClock } = options;
  const stored = await anEmptyTask(scope, content);
  if (whole) await storeAll(stored, content);
  const voucher = new Voucher();
  const keys = new TrustedKeys();
  const feed = new Feed(stored, voucher, () => authority);
  const slots = new UploadSlots({ first: options.slots ?? 8, link: () => ({ upload: 0, download: 0 }), clock });
  const ordinary = admissionOf(stored, feed, slots);
  const admission = options.admission?.(ordinary) ?? ordinary;
  let sent = 0;
  let connections = 0;
  const server = scope.use(
    await startPieceServer({
      host: "127.0.0.1",
      port: 0,
      store: { find: () => undefined },
      config: transferConfig(options.transfer),
      clock,
      log: silentLog,
      metrics: transferMetrics(),
      limits: options.limits,
      blocks: (connection) => {
        const serving = new BlockServing({ ...connection, admission, onSent: (bytes) => void (sent += bytes) });
        connections++;
        return {
          run: () => serving.run().finally(() => connections--),
          drain: () => serving.drain(),
          destroy: () => serving.destroy(),
        };
      },
    }),
  );
  const client = scope.use(
    new BlockClient({
      config: MeshConfig.parse(options.mesh ?? {}),
      clock,
      native: await loadNativeSocket(),
      hostId: () => "10.0.0.1-test",
    }),
  );
  return {
    content,
    stored,
    feed,
    voucher,
    keys,
    slots,
    client,
    address: { ip: "127.0.0.1", port: server.port },
    servedConnections: () => connections,
    sentBytes: () => sent,
  };
}

/** Gives what is here or arrives, as long as there is a slot. */
function admissionOf(stored: StoredTask, feed: Feed, slots: UploadSlots): Admission {
  return {
    async admit({ piece }) {
      const info = piece < stored.meta.pieceCount ? stored.piece(piece) : undefined;
      const arrival = info === undefined ? feed.arrival(piece) : undefined;
      if (info === undefined && arrival === undefined) return "not-found";
      const slot = slots.tryTake();
      if (slot === undefined) return "busy";
      if (arrival !== undefined) return new Outgoing({ stored, start: { ...arrival.facts, proof: arrival.proof }, arrival, slot });
      const { length } = pieceRangeOf(stored.meta, piece);
      const facts = { piece, lengthBytes: length, blockBytes: blockBytesOf(stored.meta.pieceLength), crc32: info!.crc32 };
      return new Outgoing({ stored, start: { ...facts, proof: await feed.proofOf(facts) }, arrival: undefined, slot });
    },
    onNews: () => undefined,
  };
}

export interface Fetching {
  readonly receiver: PieceReceiver;
  readonly done: Promise<Received>;
}

/** Asks a neighbour for a piece. */
export function fetchBlocks(child: MeshNode, parent: BlockAddress, piece: number, more: Partial<ReceiverOptions> = {}): Fetching {
  const { stored, feed, keys } = child;
  const receiver = new PieceReceiver({
    stored,
    feed,
    piece,
    orAnother: false,
    parentId: "parent",
    isProven: (facts, proof) => keys.proves(stored.meta, facts, proof),
    onStart: () => true,
    onArriving: () => undefined,
    onEnding: () => undefined,
    nowMs: () => 0,
    ...more,
  });
  child.client.connectionTo(parent).request(receiver);
  return { receiver, done: receiver.done };
}

/** The bytes of a held piece, from the file. */
export async function heldBytes({ stored }: Pick<MeshNode, "stored">, piece: number): Promise<Buffer> {
  const { start, length } = pieceRangeOf(stored.meta, piece);
  const into = Buffer.alloc(length);
  await stored.read({ offsetBytes: start, into });
  return into;
}

/** A piece that comes to a node by hand, block by block. */
export class ByHand {
  readonly arrival: Arrival;
  readonly #node: MeshNode;
  readonly #writer: PieceWriter;
  readonly #blocks: Buffer[];

  /** `by`: whoever vouches for its blocks. */
  constructor(node: MeshNode, piece: number, by: BlockHashes) {
    const facts = factsOf(node.content, piece);
    this.#node = node;
    this.#blocks = blocksOf(node.content, piece);
    this.#writer = node.stored.writePiece({ index: piece, expectedCrc32: facts.crc32, traffic: "remote-peer", parentId: "hand" });
    this.arrival = node.feed.begin(facts, by)!; // nothing else brings it
  }

  /** The next block. */
  async next(): Promise<void> {
    await this.#writer.write(this.#blocks[this.arrival.blocks]!); // as many as there are
    this.arrival.advance();
  }

  async rest(): Promise<void> {
    while (this.arrival.blocks < this.#blocks.length) await this.next();
    await this.#writer.finish();
    this.#node.feed.end(this.arrival, "held");
  }

  die(): void {
    this.#writer.abort();
    this.#node.feed.end(this.arrival, "gone");
  }
}

/** Resolves once it holds; asked after each turn of the event loop. */
export async function turnsUntil(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}
