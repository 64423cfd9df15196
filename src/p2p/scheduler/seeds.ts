import { hashOf } from "../../base/fnv.ts";
import type { Download } from "../../wire/grpc/gen/common/v2/common.ts";
import { passedOver, type Funnel } from "./decisions.ts";
import { add, diskUsedPercentOf, isDiskFull, type Moment, type Rejection, type Rejections, type SourceRejection } from "./rules.ts";
import { isActive, isLive, type Host, type Task } from "./state.ts";
import { decideForTask, note, type Turn } from "./turn.ts";

// Which seed is ordered to read a source for everybody.

interface Question {
  readonly task: Task;
  readonly host: Host;
  readonly moment: Moment;
}

/** What speaks against a seed as the reader of a task. */
const SEED_RULES = [
  ["seed-not-sharing", ({ host }) => !host.facts.sharing],
  ["seed-silent", ({ host }) => !isLive(host)],
  ["seed-troubled", ({ host, moment }) => host.troubledUntilMs > moment.nowMs],
  ["seed-failed-task", ({ host, task, moment }) => (task.triedSeeds.get(host.facts.id) ?? -Infinity) > moment.nowMs],
  // It is one of those that wait, and chosen as such.
  ["seed-downloads", ({ host, task }) => host.peers.get(task)?.some(isActive) === true],
  ["disk-full", ({ host, moment }) => isDiskFull(host, moment)],
] as const satisfies readonly (readonly [SourceRejection, (question: Question) => boolean])[];

export interface SeedChoice {
  readonly seed: Host | undefined;
  readonly fit: readonly Host[];
  readonly rejections: Rejections;
  readonly rejected: readonly { readonly host: Host; readonly rule: Rejection }[];
}

/** The same seed for a task whoever asks, as long as it is well: rendezvous hashing. */
export function chooseSeed({ cluster, moment }: Turn, task: Task): SeedChoice {
  const rejections: Partial<Record<Rejection, number>> = {};
  const rejected: { host: Host; rule: Rejection }[] = [];
  const passing: Host[] = [];
  for (const host of cluster.seeds) {
    const rule = SEED_RULES.find(([, rejects]) => rejects({ task, host, moment }))?.[0];
    if (rule === undefined) passing.push(host);
    else {
      add(rejections, rule, 1);
      rejected.push({ host, rule });
    }
  }
  const isBusy = (host: Host): number => (diskUsedPercentOf(host) >= moment.config.diskBusyPercent ? 1 : 0);
  const rankOf = (host: Host): number => hashOf(`${task.id}\0${host.facts.id}`);
  const fit = passing.toSorted((a, b) => isBusy(a) - isBusy(b) || rankOf(b) - rankOf(a));
  return { seed: fit[0], fit, rejections, rejected };
}

/** Orders the chosen seed to read for everybody. */
export function orderSeed(turn: Turn, task: Task, choice: SeedChoice & { readonly seed: Host }, order: Download): void {
  const { seed } = choice;
  turn.cluster.startTrigger(task, { hostId: seed.facts.id, sinceMs: turn.moment.nowMs, order });
  decideForTask(turn, task, "seed", {
    because: task.sourceReads === 0 ? "first" : "reader-lost",
    rejections: choice.rejections,
    funnel: funnelOfSeeds(turn, task, choice),
  });
  note(turn, task, "seed-triggered", { fields: { hostId: seed.facts.id } });
  turn.effects.push({ do: "triggerSeed", taskId: task.id, hostId: seed.facts.id, order });
}

/** There are seeds, and none will do. */
export function noteNoSeed(turn: Turn, task: Task, choice: SeedChoice): void {
  for (const { host, rule } of choice.rejected) if (rule === "disk-full") notePassedOver(turn, task, host);
  if (choice.rejected.length === 0) return;
  decideForTask(turn, task, "seed-denied", {
    because: "no-seed-fit",
    rejections: choice.rejections,
    funnel: funnelOfSeeds(turn, task, choice),
  });
}

const NAMED_MAX = 8;

function funnelOfSeeds({ cluster }: Turn, task: Task, { seed, fit, rejected }: SeedChoice): Funnel {
  return {
    candidates: cluster.seeds.size,
    relaxation: "none",
    rejected: rejected.slice(0, NAMED_MAX).map(({ host, rule }) => passedOver(task, host, rule)),
    considered: fit
      .slice(0, NAMED_MAX)
      .map(({ facts }) => ({ peerId: undefined, hostname: facts.hostname, score: undefined, role: "part" as const })),
    chosen: seed === undefined ? [] : [seed.facts.id],
  };
}

/** Once for as long as the task remembers: a task is looked at again and again. */
function notePassedOver(turn: Turn, task: Task, host: Host): void {
  const hostId = host.facts.id;
  if (task.notes.some(({ event, fields }) => event === PASSED_OVER && fields["hostId"] === hostId)) return;
  const fields = { hostId, because: "disk-full", usedPercent: Math.floor(diskUsedPercentOf(host)) };
  note(turn, task, PASSED_OVER, { level: "warn", fields });
}

const PASSED_OVER = "seed-passed-over";
