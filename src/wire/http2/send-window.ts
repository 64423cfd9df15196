import { malformed } from "./malformed.ts";
import { encodeFrame, FLAG, FRAME, FRAME_BYTES_MAX, WINDOW_BYTES_MAX } from "./frames.ts";

/** How many bytes the other side takes now. Below zero when it changed its mind about what is on its way already. */
export class SendWindow {
  #bytes: number;

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Throws `rpc.internal` where the other side says more than can be. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > WINDOW_BYTES_MAX) throw malformed("a window beyond all measure");
  }

  take(bytes: number): void {
    this.#bytes -= bytes;
  }
}

/** The body of a request, sent as far as the windows of its stream and of the connection let it. */
export class OutgoingBody {
  readonly window: SendWindow;
  readonly #streamId: number;
  #left: Uint8Array;
  #finished = false;

  constructor(streamId: number, body: Uint8Array, windowBytes: number) {
    this.window = new SendWindow(windowBytes);
    this.#streamId = streamId;
    this.#left = body;
  }

  /** The frames that may be sent now; the last one of the body says that it is the last. */
  frames(connection: SendWindow): readonly Uint8Array[] {
    const frames: Uint8Array[] = [];
    while (!this.#finished) {
      const bytes = Math.min(this.#left.length, FRAME_BYTES_MAX, this.window.bytes, connection.bytes);
      if (bytes <= 0 && this.#left.length > 0) break;
      const payload = this.#left.subarray(0, bytes);
      this.#left = this.#left.subarray(bytes);
      this.#finished = this.#left.length === 0;
      for (const window of [this.window, connection]) window.take(bytes);
      frames.push(encodeFrame({ type: FRAME.data, flags: this.#finished ? FLAG.endStream : 0, streamId: this.#streamId, payload }));
    }
    return frames;
  }
}
