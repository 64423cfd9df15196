import type { Socket } from "node:net";
import { isGreeting } from "../../../wire/mesh/frames.ts";
import type { BlockHandover, PeerConnection } from "./piece-server.ts";
import { UploadConnection } from "./upload-connection.ts";
import type { UploadContext } from "./upload.ts";

/** A connection before its first two bytes, which tell whether it is one of ours or speaks Vortex. */
export class Undecided implements PeerConnection {
  readonly #socket: Socket;
  readonly #context: UploadContext;
  readonly #handOver: BlockHandover;
  #decided: PeerConnection | undefined;

  constructor(socket: Socket, context: UploadContext, handOver: BlockHandover) {
    this.#socket = socket;
    this.#context = context;
    this.#handOver = handOver;
  }

  async run(): Promise<void> {
    const first = await this.#firstBytes();
    if (first === undefined) return;
    if (isGreeting(first)) {
      this.#decided = this.#handOver({ ...this.#context, socket: this.#socket, first });
      if (this.#decided === undefined) return void this.#socket.destroy();
    } else {
      this.#decided = new UploadConnection(this.#socket, this.#context);
      this.#socket.unshift(first);
    }
    const served = this.#decided.run();
    this.#socket.resume(); // it listens by now
    await served;
  }

  drain(): void {
    if (this.#decided !== undefined) this.#decided.drain();
    else this.#socket.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Undefined: the connection closed before them, or they did not come in time. Never rejects. */
  #firstBytes(): Promise<Buffer | undefined> {
    const socket = this.#socket;
    const { clock, config } = this.#context;
    return new Promise((resolve) => {
      let bytes = Buffer.alloc(0);
      const late = clock.timer(config.uploadRequestMs, () => socket.destroy());
      const settle = (result: Buffer | undefined): void => {
        late[Symbol.dispose]();
        socket.off("data", onData).off("end", onEnd).off("close", onClose).off("error", ignore);
        resolve(result);
      };
      const onData = (chunk: Buffer): void => {
        bytes = Buffer.concat([bytes, chunk]);
        if (bytes.length < 2) return;
        socket.pause();
        settle(bytes);
      };
      const onEnd = (): void => void socket.destroy(); // no request is that short
      const onClose = (): void => settle(undefined);
      socket.on("error", ignore).on("data", onData).on("end", onEnd).on("close", onClose);
    });
  }
}

function ignore(): void {} // the close follows an error
