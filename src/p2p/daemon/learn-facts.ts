import type { Clock } from "../../base/clock.ts";
import { errorOf } from "../../base/errors.ts";
import { DfdaemonUploadService } from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import type { TaskId } from "../model/ids.ts";
import type { ParentOffer, TaskFacts } from "./api.ts";
import type { PeerChannels } from "./channels.ts";
import type { DaemonConfig } from "./config.ts";

export interface Learned {
  readonly contentLength: number;
  readonly pieceLength: number | undefined;
  readonly responseHeader: Readonly<Record<string, string>>;
}

const STAT_MS = 2000;
const AGAIN_FIRST_MS = 50;
const AGAIN_MAX_MS = 1000;

/**
 * Length and headers of a task from its parents, which is why only one peer of a cluster asks the source. Waits for parents that
 * have only just begun. Undefined: none of them can be reached.
 */
export async function learnFacts(options: {
  readonly taskId: TaskId;
  readonly channels: PeerChannels;
  readonly clock: Clock;
  readonly config: Pick<DaemonConfig, "parentFailuresMax">;
  readonly signal: AbortSignal;
  /** The latest word of the scheduler. */
  readonly known: () => { readonly offers: readonly ParentOffer[]; readonly facts: TaskFacts };
}): Promise<Learned | undefined> {
  const { taskId, channels, clock, config, signal, known } = options;
  const failures = new Map<string, number>();
  for (let round = 0; ; round++) {
    const { offers, facts } = known();
    const usable = offers.filter(({ peerId }) => (failures.get(peerId) ?? 0) < config.parentFailuresMax);
    if (usable.length === 0) return undefined;
    for (const offer of usable) {
      const told = { ...offer.facts, ...facts };
      const answer = await statAt(channels, offer, taskId, signal);
      if (answer === "unreachable") failures.set(offer.peerId, (failures.get(offer.peerId) ?? 0) + 1);
      const stat = answer === "unreachable" || answer === "unknown" ? undefined : answer;
      const contentLength = stat?.contentLength ?? told.contentLength;
      // Without the headers a client of the proxy would see an answer without type; worth a second try, not worth waiting for.
      if (contentLength === undefined || (stat === undefined && round === 0 && usable.length > 1)) continue;
      const pieceLength = stat?.pieceLength ?? told.pieceLength;
      // The scheduler's digest is hearsay: the first who asked claimed it. What is checked here is what this request expects.
      return { contentLength, pieceLength, responseHeader: stat?.responseHeader ?? {} };
    }
    await clock.sleep(Math.min(AGAIN_MAX_MS, AGAIN_FIRST_MS * 2 ** Math.min(round, 10)), signal);
  }
}

async function statAt(channels: PeerChannels, { ip, port }: ParentOffer, taskId: TaskId, signal: AbortSignal) {
  using held = channels.hold(ip, port);
  try {
    return await held.channel.unary(DfdaemonUploadService.statLocalTask, { taskId }, { timeoutMs: STAT_MS, signal });
  } catch (thrown) {
    signal.throwIfAborted();
    const { code } = errorOf(thrown);
    return code === "task.not-found" || code === "rpc.not-found" ? "unknown" : "unreachable";
  }
}
