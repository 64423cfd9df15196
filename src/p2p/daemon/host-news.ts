import type { Host } from "../../wire/grpc/gen/common/v2/common.ts";

/** Heartbeats of which one carries the host's facts in any case. */
const EVERY = 10;
/** By so much the link must be found to be other than was told. */
const CHANGE = 0.1;

/** Or the disk be used by so many more or fewer percent. */
const DISK_CHANGE = 1;

/**
 * Which heartbeats carry the host's facts: they were in the hello, and most of what changes in them is the load, which nobody needs by the second.
 * What its link takes and its disk holds decides who reads a source; a young host learns the one while it fetches, and other programs fill the other
 * within seconds. So both are told at once.
 */
export class HostNews {
  readonly #facts: () => Host;
  #told: Host;
  #beats = 0;

  /** Right before the hello, which carries them. */
  constructor(facts: () => Host) {
    this.#facts = facts;
    this.#told = facts();
  }

  /** For the next heartbeat. */
  next(): Host | undefined {
    const facts = this.#facts();
    if (++this.#beats % EVERY > 0 && !linkDiffers(this.#told, facts) && !diskDiffers(this.#told, facts)) return undefined;
    return (this.#told = facts);
  }
}

const linkDiffers = (a: Host, b: Host): boolean =>
  differs(a.network?.maxTxBandwidth, b.network?.maxTxBandwidth) || differs(a.network?.maxRxBandwidth, b.network?.maxRxBandwidth);

const diskDiffers = (a: Host, b: Host): boolean =>
  Math.abs((a.disk?.usedPercent ?? 0) - (b.disk?.usedPercent ?? 0)) >= DISK_CHANGE ||
  Math.abs((a.disk?.inodesUsedPercent ?? 0) - (b.disk?.inodesUsedPercent ?? 0)) >= DISK_CHANGE;

const differs = (a = 0, b = 0): boolean => Math.abs(a - b) > CHANGE * Math.max(a, b);
