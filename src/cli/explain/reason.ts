import { formatBytes } from "../../base/units.ts";
import type { ExplainDaemonResponse } from "../../wire/grpc/gen/anax/v1/daemon.ts";
import { failureAdvice, READS, TO_SOURCE, type Advice } from "./advice.ts";

/** The answer in a sentence, before the evidence: where the bytes came from, and why. Undefined while there is nothing to say. */
export function reasonOf({ local, events, schedulerError }: ExplainDaemonResponse): string | undefined {
  const read = events.findLast(({ event }) => event === "download.read-source");
  if (local === undefined || local.bytesFromPeers + local.bytesFromSource === 0) return undefined;
  if (local.bytesFromSource === 0) return `Everything came from peers; the source was not read by this machine.`;
  const share = local.bytesFromPeers === 0 ? "Everything" : formatBytes(local.bytesFromSource);
  if (read === undefined) return `${share} came from the source; why is no longer known, since this daemon was started anew.`;
  const because = read.fields["because"] ?? "";
  const choice = events.findLast(({ event }) => event === "scheduler.says-source")?.fields["reason"] ?? "";
  const detail = because === "scheduler-says" && choice !== "" ? `: ${adviceOf(TO_SOURCE, choice)?.says ?? choice}` : "";
  const hint = because === "no-scheduler" && schedulerError !== "" ? ` (${schedulerError})` : "";
  return `${share} came from the source because ${adviceOf(READS, because)?.says ?? because}${detail}${hint}.`;
}

/** What to do about what happened here, where there is something to be done. */
export function nextStepOf({ events }: ExplainDaemonResponse): string | undefined {
  const last = events.findLast(({ event }) => ENDS.has(event));
  if (last?.event === "download.failed") return `${last.fields["reason"] ?? ""} — ${failureAdvice(last.fields["code"] ?? "").hint}`;
  const read = events.findLast(({ event }) => event === "download.read-source")?.fields["because"] ?? "";
  return adviceOf(READS, read)?.hint || undefined;
}

const ENDS: ReadonlySet<string> = new Set(["download.done", "download.failed", "download.hit"]);

const adviceOf = (table: Readonly<Record<string, Advice>>, word: string): Advice | undefined =>
  Object.hasOwn(table, word) ? table[word] : undefined;
