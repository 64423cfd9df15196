import { formatBytes } from "../../base/units.ts";
import type { ExplainDaemonResponse } from "../../wire/grpc/gen/anax/v1/daemon.ts";

/** Why a daemon read the source, by the reason it noted; each completes "because …". */
const SOURCE_REASONS: Readonly<Record<string, string>> = {
  "told-to": "it was ordered to, as the seed that reads for the others",
  "scheduler-says": "the scheduler chose it as the one that reads the source",
  "no-scheduler": "no scheduler could be reached",
  "scheduler-silent": "the scheduler did not answer in time",
  "scheduler-refused": "the scheduler refused to help with this task",
  "parents-useless": "no peer that the scheduler offered could deliver",
};

/** What the scheduler adds to "scheduler-says". */
const CHOICES: Readonly<Record<string, string>> = {
  first: "nobody had the content or was reading it",
  "reader-lost": "the peer that was reading it was lost",
  "no-parent-reachable": "it could reach no peer that has the content",
  "asked-for": "it asked for that",
};

/** The answer in a sentence, before the evidence: where the bytes came from, and why. Undefined while there is nothing to say. */
export function reasonOf({ local, events, schedulerError }: ExplainDaemonResponse): string | undefined {
  const read = events.findLast(({ event }) => event === "download.read-source");
  if (local === undefined || local.bytesFromPeers + local.bytesFromSource === 0) return undefined;
  if (local.bytesFromSource === 0) return `Everything came from peers; the source was not read by this machine.`;
  const share = local.bytesFromPeers === 0 ? "Everything" : formatBytes(local.bytesFromSource);
  if (read === undefined) return `${share} came from the source; why is no longer known, since this daemon was started anew.`;
  const because = read.fields["because"] ?? "";
  const choice = events.findLast(({ event }) => event === "scheduler.says-source")?.fields["reason"] ?? "";
  const detail = because === "scheduler-says" && choice !== "" ? `: ${CHOICES[choice] ?? choice}` : "";
  const hint = because === "no-scheduler" && schedulerError !== "" ? ` (${schedulerError})` : "";
  return `${share} came from the source because ${SOURCE_REASONS[because] ?? because}${detail}${hint}.`;
}
