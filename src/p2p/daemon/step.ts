import type { AnaxError, ErrorCode } from "../../base/errors.ts";

/** Why a download reads the source; also a metric label. */
export type SourceReason = "told-to" | "scheduler-says" | "no-scheduler" | "scheduler-silent" | "scheduler-refused" | "parents-useless";

/** Where a download stands; in `source` it depends on no peer any more, unless it reads a part. `fruitless` counts how often in a row its parents turned out useless, `registered` how often it registered. */
export type Phase =
  | { readonly at: "registering"; readonly registered: number; readonly fruitless: number }
  | { readonly at: "peers"; readonly registered: number; readonly fruitless: number }
  | { readonly at: "source"; readonly registered: number }
  | { readonly at: "ended" };

/** What happened to it. */
export type Happening =
  | { readonly on: "parents" }
  | { readonly on: "empty-content" }
  | { readonly on: "told-source" }
  /** The scheduler does not answer, or the stream to it broke. */
  | { readonly on: "scheduler-lost"; readonly why: "unreachable" | "silent" | "broken" }
  /** The scheduler answered with an error. */
  | { readonly on: "scheduler-refused"; readonly error: AnaxError }
  /** The source failed to give the part of it that this host was to read. */
  | { readonly on: "part-failed" }
  /** Nobody is left to fetch from. */
  | { readonly on: "parents-useless" }
  | { readonly on: "no-progress" }
  | { readonly on: "piece" }
  | { readonly on: "complete" }
  | { readonly on: "failed"; readonly error: AnaxError };

type SchedulingHappening = Exclude<Happening, { readonly on: "piece" | "complete" | "failed" }>;

/** What is to be done now. */
export type Order =
  | { readonly do: "register" }
  | { readonly do: "use-parents" }
  | { readonly do: "read-source"; readonly because: SourceReason }
  | { readonly do: "reschedule"; readonly because: "parents-useless" | "no-progress" }
  | { readonly do: "finish" }
  | { readonly do: "finish-empty" }
  | { readonly do: "fail"; readonly error: AnaxError | { readonly code: ErrorCode; readonly because: SourceReason } };

export interface Rules {
  /** Others read the rest of the source. */
  readonly readsPart: boolean;
  readonly disableBackToSource: boolean;
  readonly needBackToSource: boolean;
  readonly reschedulesMax: number;
  readonly registersMax: number;
}

export interface Step {
  readonly next: Phase;
  readonly order: Order | undefined;
}

export const START: Phase = { at: "registering", registered: 1, fruitless: 0 };

/**
 * One step of a download. A scheduler that answers is trusted to say when the source may be read, so that the cluster reads it once;
 * a download helps itself only when nobody answers, or when parents were useless too often in a row.
 */
export function step(phase: Phase, happening: Happening, rules: Rules): Step {
  if (phase.at === "ended") return stay(phase);
  if (happening.on === "complete") return end({ do: "finish" });
  if (happening.on === "failed") return end({ do: "fail", error: happening.error });
  if (happening.on === "piece") return stay(phase.at === "peers" ? { ...phase, fruitless: 0 } : phase);
  switch (phase.at) {
    case "source":
      return inSource(phase, happening, rules);
    case "registering":
    case "peers":
      return withScheduler(phase, happening, rules);
  }
}

function withScheduler(phase: Extract<Phase, { at: "registering" | "peers" }>, happening: SchedulingHappening, rules: Rules): Step {
  const { registered, fruitless } = phase;
  switch (happening.on) {
    case "parents":
      // Also when told to read the source: the order may be late, and then others have the content or are reading it.
      return { next: { at: "peers", registered, fruitless }, order: { do: "use-parents" } };
    case "empty-content":
      return { next: { at: "source", registered }, order: { do: "finish-empty" } };
    case "told-source":
      return toSource(phase, rules.needBackToSource ? "told-to" : "scheduler-says", rules);
    case "scheduler-lost":
      return lost(phase, happening.why, rules);
    case "scheduler-refused":
      // Registered for somebody who wants peers only, and by now somebody wants it who does not mind.
      if (happening.error.code === "download.no-source" && !rules.disableBackToSource) return toSource(phase, "scheduler-refused", rules);
      // The source said no to whoever read it, or the request itself cannot be.
      if (isVerdict(happening.error.code)) return end({ do: "fail", error: happening.error });
      if (happening.error.code === "rpc.unimplemented" || happening.error.code === "rpc.failed-precondition") {
        return toSource(phase, "scheduler-refused", rules);
      }
      return lost(phase, "broken", rules);
    case "parents-useless":
      if (rules.needBackToSource) return toSource(phase, "told-to", rules);
      if (fruitless + 1 > rules.reschedulesMax) return toSource(phase, "parents-useless", rules);
      return { next: { at: phase.at, registered, fruitless: fruitless + 1 }, order: { do: "reschedule", because: "parents-useless" } };
    case "part-failed":
      return stay(phase);
    case "no-progress":
      return { next: phase, order: { do: "reschedule", because: "no-progress" } };
  }
}

/** What another try, or another scheduler, would answer alike. The rest (`host.unknown`, `limit.exceeded`…) is about the scheduler, not the task. */
const isVerdict = (code: ErrorCode): boolean => /^(source|task|download|input|proxy)\./.test(code);

function lost(phase: Extract<Phase, { at: "registering" | "peers" }>, why: "unreachable" | "silent" | "broken", rules: Rules): Step {
  if (why === "broken" && phase.registered < rules.registersMax) {
    return { next: { ...phase, registered: phase.registered + 1 }, order: { do: "register" } };
  }
  if (rules.needBackToSource) return toSource(phase, "told-to", rules);
  // Parents that serve need no scheduler; when they stop serving, `parents-useless` leads to the source.
  if (phase.at === "peers" && why !== "silent") return stay({ ...phase, fruitless: rules.reschedulesMax });
  return toSource(phase, why === "silent" ? "scheduler-silent" : "no-scheduler", rules);
}

/** The source is being read: all that matters besides is that the scheduler knows about it, and where the rest comes from. */
function inSource(phase: Extract<Phase, { at: "source" }>, happening: SchedulingHappening, rules: Rules): Step {
  // Others read the rest, and the scheduler finds somebody for this part.
  if (happening.on === "part-failed")
    return { next: { at: "peers", registered: phase.registered, fruitless: 0 }, order: { do: "use-parents" } };
  if (happening.on === "no-progress" && rules.readsPart) return { next: phase, order: { do: "reschedule", because: "no-progress" } };
  if (happening.on !== "scheduler-lost" || happening.why !== "broken" || phase.registered >= rules.registersMax) return stay(phase);
  return { next: { at: "source", registered: phase.registered + 1 }, order: { do: "register" } };
}

function toSource(phase: Extract<Phase, { at: "registering" | "peers" }>, because: SourceReason, rules: Rules): Step {
  if (rules.disableBackToSource) return end({ do: "fail", error: { code: "download.no-source", because } });
  return { next: { at: "source", registered: phase.registered }, order: { do: "read-source", because } };
}

const stay = (phase: Phase): Step => ({ next: phase, order: undefined });
const end = (order: Order): Step => ({ next: { at: "ended" }, order });
