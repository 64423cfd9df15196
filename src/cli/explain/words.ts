import type {
  ConsideredCandidate,
  Decision,
  ExplainTaskResponse,
  PeerExplanation,
  RejectedCandidate,
} from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import { isoOf } from "../tasks.ts";
import { BLOCKS, DENIALS, failureAdvice, KINDS, RELAXED, RULES, SILENCES, TO_SOURCE, type Advice } from "./advice.ts";

// The funnel of a decision in words: how many there were, who was turned down by which rule, who was left, and what to do.

/** A scheduler of another version may know words that this command does not; they are shown as they are. */
const UNKNOWN = (word: string): Advice => ({ says: word, hint: "" });

const adviceOf = (table: Readonly<Record<string, Advice>>, word: string): Advice =>
  Object.hasOwn(table, word) ? table[word]! : UNKNOWN(word);
const wordOf = (table: Readonly<Record<string, string>>, word: string): string => (Object.hasOwn(table, word) ? table[word]! : word);

/** Rules that say how things are and not that something is wrong. */
const ORDINARY: ReadonlySet<string> = new Set(["outranked", "same-host", "nothing-new"]);

/** The decisions of one peer, or those made for the whole task; oldest first, as lines. */
export function decisionLines(decisions: readonly Decision[]): string[] {
  const lines = decisions.flatMap(linesOf);
  const last = decisions.at(-1);
  const hints = last === undefined ? [] : hintsOf(last);
  return [...lines, ...hints.map((hint) => `  → ${hint}`)];
}

const isInTrouble = ({ waiting, state }: PeerExplanation): boolean => waiting || state === "failed";

/** Whose decisions are shown where nobody is named: this host's, and of the others those that wait or failed. */
export function peersToShow({ peers }: ExplainTaskResponse, ownPeerId: string, max: number): PeerExplanation[] {
  const own = peers.filter(({ peerId }) => peerId === ownPeerId);
  return [...own, ...peers.filter((peer) => peer.peerId !== ownPeerId && isInTrouble(peer))].slice(0, max);
}

/** Where one that waits stands, in a sentence. */
export function denialLine({ sourceDenied }: PeerExplanation, queuePlace: number): string | undefined {
  if (sourceDenied === "") return undefined;
  const { says, hint } = adviceOf(DENIALS, sourceDenied);
  const place = queuePlace > 0 ? ` (number ${queuePlace} in line)` : "";
  return `It may not read the source now${place}: ${says}. ${sentence(hint)}`;
}

function linesOf(decision: Decision): string[] {
  const { kind, rejections, rejected, considered, chosenHosts, relaxation } = decision;
  const time = isoOf(decision.at)?.slice(11, 23) ?? "";
  const lines = [`  ${time}  ${wordOf(KINDS, kind)}${becauseOf(decision)}`];
  for (const { rule, count } of rejections) {
    const named = rejected.filter((one) => one.rule === rule).map(rejectedText);
    lines.push(`      ${count} × ${rule}: ${adviceOf(RULES, rule).says}${named.length === 0 ? "" : ` — ${named.join("; ")}`}`);
  }
  const relaxed = wordOf(RELAXED, relaxation);
  if (relaxed !== "") lines.push(`      since there was nobody else, ${relaxed}`);
  if (considered.length === 0 && chosenHosts.length > 0) lines.push(`      drawn: ${namesOf(chosenHosts)}`);
  if (considered.length > 0) lines.push(`      passed: ${considered.map((one) => consideredText(one, decision)).join(", ")}`);
  return lines;
}

const NAMED_MAX = 8;

const namesOf = (hosts: readonly string[]): string =>
  hosts.length <= NAMED_MAX ? hosts.join(", ") : `${hosts.slice(0, NAMED_MAX).join(", ")} and ${hosts.length - NAMED_MAX} more`;

function becauseOf({ kind, because, candidates, chosen }: Decision): string {
  const of = `of ${candidates} ${candidates === 1 ? "other" : "others"}`;
  switch (kind) {
    case "parents":
      return `: ${chosen.length} ${of}${because === "pushed" ? ", unasked, as there were new ones" : ""}`;
    case "wait":
      return `: none ${of}`;
    case "source":
      return ` because ${adviceOf(TO_SOURCE, because).says} (${because})`;
    case "source-denied":
      return `: ${adviceOf(DENIALS, because).says} (${because})`;
    case "seed":
      return `: ${chosen.join(", ")}, of ${candidates}`;
    case "seed-denied":
      return `: none of ${candidates} will do`;
    case "failed":
      return `: ${failureAdvice(because).says} (${because})`;
    default:
      return "";
  }
}

function rejectedText({ hostname, rule, detail, times, since, until }: RejectedCandidate): string {
  const why = rule === "blocked" ? wordOf(BLOCKS, detail) : rule === "host-silent" ? wordOf(SILENCES, detail) : detail;
  const often = times > 1 ? `${times} times` : "";
  const from = since === undefined || until !== undefined ? "" : `since ${clockTimeOf(since)}`;
  const to = until === undefined ? "" : `until ${clockTimeOf(until)}`;
  const facts = [why, often, from, to].filter((text) => text !== "");
  return facts.length === 0 ? hostname : `${hostname} (${facts.join(", ")})`;
}

function consideredText({ peerId, hostname, score, role }: ConsideredCandidate, { kind, chosen }: Decision): string {
  const isChosen = chosen.includes(peerId) || kind === "seed" || kind === "seed-denied";
  const facts = [role === "part" ? "" : role, score === undefined ? "" : score.toFixed(2), isChosen ? "" : "not taken"];
  const told = facts.filter((text) => text !== "").join(" ");
  return told === "" ? hostname : `${hostname} (${told})`;
}

/** What to do about it, each thing once. */
function hintsOf({ kind, because, rejections }: Decision): string[] {
  if (!isSetback(kind)) return [];
  const { hint } =
    kind === "source" ? adviceOf(TO_SOURCE, because) : kind === "failed" ? failureAdvice(because) : adviceOf(DENIALS, because);
  const byRule = rejections
    .filter(({ rule }) => !ORDINARY.has(rule) && adviceOf(RULES, rule).hint !== "")
    .map(({ rule }) => `${rule}: ${adviceOf(RULES, rule).hint}`);
  return hint === "" ? byRule : [hint, ...byRule];
}

/** A person may want to do something about it. */
const isSetback = (kind: string): boolean => ["wait", "source", "source-denied", "seed-denied", "failed"].includes(kind);

const clockTimeOf = (at: NonNullable<Decision["at"]>): string => isoOf(at)?.slice(11, 19) ?? "";
const sentence = (text: string): string => (text === "" ? "" : `${text[0]!.toUpperCase()}${text.slice(1)}.`);
