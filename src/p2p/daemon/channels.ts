import type { Clock } from "../../base/clock.ts";
import { openChannel, type ClientTls, type GrpcChannel } from "../../wire/grpc/client.ts";

/** Connections to the upload services of other peers, shared by all downloads; the one used last longest ago is closed when there are too many. */
export class PeerChannels implements Disposable {
  readonly #clock: Clock;
  readonly #tls: ClientTls | undefined;
  readonly #max: number;
  readonly #open = new Map<string, { readonly channel: GrpcChannel; users: number }>();

  constructor(options: { readonly clock: Clock; readonly tls?: ClientTls | undefined; readonly max?: number }) {
    this.#clock = options.clock;
    this.#tls = options.tls;
    this.#max = options.max ?? 256;
  }

  /** The channel stays open at least until the hold is disposed. */
  hold(host: string, port: number): Disposable & { readonly channel: GrpcChannel } {
    const key = `${host} ${port}`;
    const entry = this.#open.get(key) ?? { channel: openChannel({ host, port }, { clock: this.#clock, tls: this.#tls }), users: 0 };
    this.#open.delete(key); // a Map keeps insertion order: the least recently used comes first
    this.#open.set(key, entry);
    entry.users++;
    this.#shrink();
    let held = true;
    return {
      channel: entry.channel,
      [Symbol.dispose]: () => {
        if (held) entry.users--;
        held = false;
      },
    };
  }

  [Symbol.dispose](): void {
    for (const { channel } of this.#open.values()) channel[Symbol.dispose]();
    this.#open.clear();
  }

  /** Only unused ones are closed, so the limit may be exceeded by what is in use, which the number of downloads bounds. */
  #shrink(): void {
    for (const [key, { channel, users }] of this.#open) {
      if (this.#open.size <= this.#max) return;
      if (users > 0) continue;
      channel[Symbol.dispose]();
      this.#open.delete(key);
    }
  }
}
