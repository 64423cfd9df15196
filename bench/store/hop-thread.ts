import { workerData } from "node:worker_threads";
import { ByteRing, RING_BYTES, type RingMemory } from "./byte-ring.ts";

/** Answers each command of `commandBytes` with `replyBytes`, until it is terminated. */
export interface HopThread {
  readonly commands: RingMemory;
  readonly replies: RingMemory;
  readonly commandBytes: number;
  readonly replyBytes: number;
}

const { commands, replies, commandBytes, replyBytes } = workerData as HopThread;
const [incoming, outgoing] = [new ByteRing(commands), new ByteRing(replies)];
const [taken, reply] = [new Uint8Array(RING_BYTES), new Uint8Array(replyBytes)];
setInterval(() => {}, 60_000); // waiting for memory alone keeps no thread alive
for (;;) {
  const length = await incoming.take(taken);
  for (let at = 0; at < length; at += commandBytes) outgoing.write(reply);
  outgoing.publish();
}
