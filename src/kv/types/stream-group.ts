import type { StreamId } from "./stream-id.ts";
import { indexFrom } from "./ordered-ids.ts";

/** An entry that was given to a consumer who has not acknowledged it. */
export interface Pending {
  readonly id: StreamId;
  readonly consumer: StreamConsumer;
  deliveredMs: number;
  deliveries: number;
}

export interface StreamConsumer {
  readonly name: string;
  /** When it last asked for anything. */
  seenMs: number;
  readonly pending: PendingEntries;
}

const PENDING_BYTES = 100;
const CONSUMER_BYTES = 200;

/** Pending entries in the order of their ids. */
export class PendingEntries {
  readonly #entries: Pending[] = [];

  get size(): number {
    return this.#entries.length;
  }

  /** From the first on that has this id or a later one. */
  *from(id: StreamId): Generator<Pending> {
    for (let i = indexFrom(this.#entries, id); i < this.#entries.length; i++) yield this.#entries[i]!;
  }

  all(): readonly Pending[] {
    return this.#entries;
  }

  get(id: StreamId): Pending | undefined {
    const found = this.#entries[indexFrom(this.#entries, id)];
    return found?.id === id ? found : undefined;
  }

  /** Takes the place of one with the same id. */
  set(pending: Pending): void {
    const at = indexFrom(this.#entries, pending.id);
    this.#entries.splice(at, this.#entries[at]?.id === pending.id ? 1 : 0, pending);
  }

  delete(id: StreamId): void {
    const at = indexFrom(this.#entries, id);
    if (this.#entries[at]?.id === id) this.#entries.splice(at, 1);
  }
}

/** Consumers that share the entries of a stream among them. */
export class StreamGroup {
  readonly pending = new PendingEntries();
  readonly consumers = new Map<string, StreamConsumer>();
  /** Of the last entry that was given to a consumer. */
  lastId: StreamId;
  /** Entries that were given to consumers; undefined: not known. */
  entriesRead: number | undefined;

  constructor(lastId: StreamId, entriesRead: number | undefined) {
    this.lastId = lastId;
    this.entriesRead = entriesRead;
  }

  get bytes(): number {
    return PENDING_BYTES * this.pending.size + CONSUMER_BYTES * (this.consumers.size + 1);
  }

  createConsumer(name: string, nowMs: number): StreamConsumer {
    const consumer: StreamConsumer = { name, seenMs: nowMs, pending: new PendingEntries() };
    this.consumers.set(name, consumer);
    return consumer;
  }

  /** Gives an entry to a consumer, whoever had it. */
  give(id: StreamId, consumer: StreamConsumer, deliveredMs: number, deliveries: number): Pending {
    this.acknowledge(id);
    const pending: Pending = { id, consumer, deliveredMs, deliveries };
    this.pending.set(pending);
    consumer.pending.set(pending);
    return pending;
  }

  /** False where nobody has it. */
  acknowledge(id: StreamId): boolean {
    const pending = this.pending.get(id);
    if (pending === undefined) return false;
    this.pending.delete(id);
    pending.consumer.pending.delete(id);
    return true;
  }

  /** How many entries it had not acknowledged: nobody has them now. */
  deleteConsumer(consumer: StreamConsumer): number {
    for (const { id } of consumer.pending.all()) this.pending.delete(id);
    this.consumers.delete(consumer.name);
    return consumer.pending.size;
  }

  copy(): StreamGroup {
    const copy = new StreamGroup(this.lastId, this.entriesRead);
    for (const { name, seenMs } of this.consumers.values()) copy.createConsumer(name, seenMs);
    for (const { id, consumer, deliveredMs, deliveries } of this.pending.all())
      copy.give(id, copy.consumers.get(consumer.name)!, deliveredMs, deliveries);
    return copy;
  }
}
