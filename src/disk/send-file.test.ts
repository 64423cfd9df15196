import assert from "node:assert/strict";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer, get, type IncomingMessage } from "node:http";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { suite, test } from "node:test";
import { BufferPool } from "../base/buffer-pool.ts";
import { AnaxError, type ErrorCode } from "../base/errors.ts";
import { createRandom } from "../base/random.ts";
import { EAGAIN, EINTR, EIO, loadNativeSocket, type NativeSocket } from "./native-socket.ts";
import { pipeFile, sendFile, sendFileNow, type Pace } from "./send-file.ts";

const FILE_BYTES = 5 * 1024 * 1024 + 17;
const CONTENT = randomContent(FILE_BYTES);
const never = new AbortController().signal;
const real = await loadNativeSocket();

/** Each way that bytes can take must look the same from outside. The odd ones bend the real call so that rare answers are common. */
const VARIANTS: Readonly<Record<string, NativeSocket | undefined>> = {
  plain: undefined,
  ...(real === undefined
    ? {}
    : {
        sendfile: real,
        "sendfile on a cold file": { ...real, resident: (_, offsetBytes) => offsetBytes % 3 !== 0 },
        "sendfile with small steps, interrupts and full sockets": oddly(real),
        "sendfile on a file system without it": { ...real, send: () => -22 },
      }),
};

test("the native way is tested where its library is installed", { skip: process.platform !== "linux" || process.arch !== "x64" }, () => {
  assert.notEqual(real, undefined);
});

for (const [name, native] of Object.entries(VARIANTS)) {
  suite(`sendFile, ${name}`, () => {
    test("sends spans byte for byte and in order with what is written around them", async () => {
      await using world = await openWorld();
      const spans = [
        [0, 0],
        [0, 1],
        [FILE_BYTES - 1, 1],
        [4095, 4098],
        [123_457, 1_500_001],
        [0, FILE_BYTES],
      ] as const;
      const received = buffer(world.reader);
      for (const [offsetBytes, lengthBytes] of spans) {
        world.writer.write(`${offsetBytes}:`);
        await world.send({ native, offsetBytes, lengthBytes });
      }
      world.writer.end();
      const expected = spans.flatMap(([offset, length]) => [Buffer.from(`${offset}:`), CONTENT.subarray(offset, offset + length)]);
      assert.ok(Buffer.concat(expected).equals(await received));
      assert.equal(world.buffers.inUse, 0);
    });

    test("what goes at once and the rest make the span", async () => {
      await using world = await openWorld();
      const received = buffer(world.reader);
      let atOnceBytes = 0;
      for (let offsetBytes = 0; offsetBytes < FILE_BYTES;) {
        const span = { fd: world.fd, offsetBytes, lengthBytes: Math.min(300_000, FILE_BYTES - offsetBytes) };
        const bytes = sendFileNow({ ...span, socket: world.writer, native });
        await world.send({ native, offsetBytes: offsetBytes + bytes, lengthBytes: span.lengthBytes - bytes });
        offsetBytes += span.lengthBytes;
        atOnceBytes += bytes;
      }
      world.writer.end();
      assert.ok(CONTENT.equals(await received));
      if (native === real) assert.equal(atOnceBytes > 0, real !== undefined);
      world.writer.destroy();
      assert.equal(sendFileNow({ socket: world.writer, native, fd: world.fd, offsetBytes: 0, lengthBytes: 1 }), 0);
    });

    test("waits for a reader that pauses, and reports every byte as progress", async () => {
      await using world = await openWorld();
      let progressBytes = 0;
      const sending = world.send({ native, lengthBytes: FILE_BYTES, onProgress: (bytes) => (progressBytes += bytes) });
      const chunks: Buffer[] = [];
      for await (const chunk of world.reader) {
        chunks.push(chunk as Buffer);
        await new Promise((resolve) => setImmediate(resolve));
        if (chunks.reduce((sum, each) => sum + each.length, 0) === FILE_BYTES) break;
      }
      await sending;
      assert.ok(CONTENT.equals(Buffer.concat(chunks)));
      assert.equal(progressBytes, FILE_BYTES);
    });

    test("sends nothing that the pace has not granted, in its turns", async () => {
      await using world = await openWorld();
      const received = buffer(world.reader);
      const grants: number[] = [];
      let [granted, sent] = [0, 0];
      const grant = (bytes: number): void => void ((granted += bytes), grants.push(bytes));
      const pace = {
        turnBytes: 100_000,
        tryTake: (bytes: number) => grants.length % 2 === 0 && (grant(bytes), true),
        take: async (bytes: number) => grant(bytes),
      };
      const onProgress = (bytes: number): void => {
        sent += bytes;
        assert.ok(sent <= granted, `${sent} of ${granted}`);
      };
      await world.send({ native, lengthBytes: FILE_BYTES, pace, onProgress });
      world.writer.end();
      assert.ok(CONTENT.equals(await received));
      assert.equal(granted, FILE_BYTES);
      assert.ok(grants.length >= FILE_BYTES / 100_000 && Math.max(...grants) <= 100_000);
    });

    test("ends with the reason and a dead socket when aborted half-way", async () => {
      await using world = await openWorld();
      const abort = new AbortController();
      world.reader.once("data", () => {
        world.reader.pause();
        abort.abort(new AnaxError("download.cancelled"));
      });
      await assert.rejects(
        world.send({ native, lengthBytes: FILE_BYTES, repeat: 64, signal: abort.signal }),
        hasCode("download.cancelled"),
      );
      assert.equal(world.writer.destroyed, true);
      assert.equal(world.buffers.inUse, 0);
    });

    test("reports a reader that goes away", async () => {
      await using world = await openWorld();
      world.reader.once("data", () => world.reader.destroy());
      await assert.rejects(world.send({ native, lengthBytes: FILE_BYTES, repeat: 64 }), hasCode("socket.closed"));
      assert.equal(world.buffers.inUse, 0);
    });

    test("does not care that the reader has half closed", async () => {
      await using world = await openWorld();
      world.reader.end();
      const received = buffer(world.reader);
      await once(world.writer.resume(), "end");
      await world.send({ native, lengthBytes: FILE_BYTES });
      world.writer.end();
      assert.ok(CONTENT.equals(await received));
    });

    test("destroys the socket when the file is shorter than promised", async () => {
      await using world = await openWorld();
      world.reader.resume();
      await assert.rejects(world.send({ native, offsetBytes: FILE_BYTES - 10, lengthBytes: 11 }), hasCode("disk.corrupt"));
      assert.equal(world.writer.destroyed, true);
    });

    test("sends nothing on a destroyed socket", async () => {
      await using world = await openWorld();
      world.writer.destroy();
      await assert.rejects(world.send({ native, lengthBytes: 1 }), hasCode("socket.closed"));
    });
  });
}

test("a disk error while sending is reported as one", { skip: real === undefined }, async () => {
  await using world = await openWorld();
  await assert.rejects(
    world.send({
      native: {
        resident: () => true,
        send: () => EIO,
        sendMore: () => EAGAIN,
        limitUnsent: () => false,
        wakeAt: () => false,
      },
      lengthBytes: 1,
    }),
    hasCode("disk.io"),
  );
});

test("many sockets get their files at the same time through fewer buffers", async () => {
  await using world = await openWorld();
  const pairs = [];
  for (let i = 0; i < 12; i++) pairs.push(await world.pair());
  const received = await Promise.all(
    pairs.map(async ({ writer, reader }) => {
      const bytes = buffer(reader);
      await world.send({ native: undefined, lengthBytes: FILE_BYTES, socket: writer });
      writer.end();
      return bytes;
    }),
  );
  assert.ok(received.every((bytes) => bytes.equals(CONTENT)));
});

test("pipeFile answers an HTTP request and survives a client that leaves", async () => {
  await using world = await openWorld();
  const outcomes: Promise<void>[] = [];
  const server = createHttpServer((_, response) => {
    response.writeHead(200, { "content-length": FILE_BYTES });
    const sent = pipeFile({
      writable: response,
      fd: world.fd,
      offsetBytes: 0,
      lengthBytes: FILE_BYTES,
      buffers: world.buffers,
      signal: never,
    });
    outcomes.push(sent.then(() => void response.end()));
  });
  await using _ = await listening(server);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const full = await responseOf(url);
  assert.ok(CONTENT.equals(await buffer(full)));
  const left = await responseOf(url);
  left.once("data", () => left.destroy());
  left.on("error", () => {});
  await once(left, "close");
  await outcomes[0];
  await assert.rejects(outcomes[1]!, hasCode("socket.closed"));
  assert.equal(world.buffers.inUse, 0);
});

interface SendTestOptions {
  readonly native: NativeSocket | undefined;
  readonly offsetBytes?: number;
  readonly lengthBytes: number;
  /** How often the span is sent; enough to fill every buffer of the kernel. */
  readonly repeat?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (bytes: number) => void;
  readonly pace?: Pace;
  readonly socket?: Socket;
}

/** A file, and connected pairs of sockets. */
async function openWorld() {
  const scope = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), "anax-send-"));
  scope.defer(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "content");
  writeFileSync(path, CONTENT);
  const fd = openSync(path, "r");
  scope.defer(() => closeSync(fd));
  const buffers = new BufferPool({ bufferBytes: 128 * 1024, count: 4, waitingMax: 100 });
  const server = createServer({ allowHalfOpen: true });
  scope.use(await listening(server));
  const pair = async (): Promise<{ writer: Socket; reader: Socket }> => {
    const accepted = once(server, "connection") as Promise<[Socket]>;
    const reader = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
    const [writer] = await accepted;
    for (const socket of [reader, writer]) {
      socket.on("error", () => {}); // resets are part of the game
      scope.defer(() => void socket.destroy());
    }
    return { writer, reader };
  };
  const { writer, reader } = await pair();
  const send = async (options: SendTestOptions): Promise<void> => {
    const { repeat = 1, socket = writer, offsetBytes = 0, signal = never, ...rest } = options;
    for (let i = 0; i < repeat; i++) await sendFile({ ...rest, socket, fd, offsetBytes, buffers, signal });
  };
  return { fd, writer, reader, pair, buffers, send, [Symbol.asyncDispose]: () => scope.disposeAsync() };
}

async function listening(server: Server): Promise<AsyncDisposable> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}

async function responseOf(url: string): Promise<IncomingMessage> {
  const [response] = (await once(get(url, { agent: false }), "response")) as [IncomingMessage];
  return response;
}

function oddly(inner: NativeSocket): NativeSocket {
  const random = createRandom(7);
  return {
    resident: (fd, offsetBytes) => inner.resident(fd, offsetBytes),
    limitUnsent: (fd, bytes) => inner.limitUnsent(fd, bytes),
    wakeAt: (fd, bytes) => inner.wakeAt(fd, bytes),
    sendMore: (fd, bytes) => (random.below(2) === 0 ? EAGAIN : inner.sendMore(fd, bytes)),
    send(socketFd, fileFd, offsetBytes, lengthBytes) {
      const dice = random.below(8);
      if (dice === 0) return EINTR;
      if (dice <= 3) return EAGAIN;
      return inner.send(socketFd, fileFd, offsetBytes, Math.min(lengthBytes, 1 + random.below(100_000)));
    },
  };
}

function randomContent(bytes: number): Buffer {
  const random = createRandom(1);
  const content = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) content.writeUInt32LE(random.below(2 ** 32), at);
  return content;
}

const hasCode =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    error instanceof AnaxError && error.code === code;
