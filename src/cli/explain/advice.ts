import { ERRORS, type ErrorCode } from "../../base/errors.ts";
import type { SourceReason } from "../../p2p/daemon/step.ts";
import type { DecisionKind } from "../../p2p/scheduler/decisions.ts";
import type { SourceBecause } from "../../p2p/scheduler/events.ts";
import type { Rejection, Relaxation } from "../../p2p/scheduler/rules.ts";
import type { SourceDenial } from "../../p2p/scheduler/source.ts";
import type { BlockReason, SilentBecause } from "../../p2p/scheduler/state.ts";

// What the words of the scheduler and the daemon mean, and what a person can do about it. The types make each table complete.

export interface Advice {
  /** A sentence. */
  readonly says: string;
  /** What to do next. */
  readonly hint: string;
}

/** Why a candidate was turned down. */
export const RULES: Readonly<Record<Rejection, Advice>> = {
  left: {
    says: "it gave the task up, or never had any of it",
    hint: "nothing: it is asked again once it has the content; `anax gc --dry-run` on that host says what it would drop and why",
  },
  failed: {
    says: "its own download failed",
    hint: "`anax explain` on that host says why its download failed",
  },
  "host-silent": {
    says: "its host does not answer the scheduler",
    hint: "see whether the daemon runs there and reaches the scheduler (`anax doctor` on that host); it is used again with its first heartbeat",
  },
  "not-sharing": {
    says: "its host is set not to give anything to others",
    hint: "set p2p.daemon.share on that host if it is to serve others",
  },
  empty: {
    says: "it has nothing of the content yet",
    hint: "wait: it is offered as soon as it has a piece, or reads the source",
  },
  distrusted: {
    says: "several hosts failed to get anything from it lately",
    hint: "wait until the time named, or look at that host: its uplink, its disk, a firewall on its port for pieces",
  },
  "same-host": { says: "it is on the same machine", hint: "nothing: what this machine has it uses without the scheduler" },
  "different-content": {
    says: "it holds another version of the content, of another length or cut into other pieces",
    hint: "the source has changed meanwhile; `anax rm TASK` on that host drops the old version",
  },
  "nothing-new": { says: "it has no piece that is missing here", hint: "nothing: others have the rest" },
  blocked: {
    says: "it failed this peer, which keeps away from it for a while",
    hint: "wait until the time named: blocks end by themselves, and are overlooked when there is nobody else; p2p.scheduler.blockMaxMs bounds them",
  },
  "upload-busy": {
    says: "it is sending as much as it may at once",
    hint: "wait; more uploads at once (p2p.transfer.uploadsMax there) or more hosts with the content help",
  },
  outranked: { says: "it would do, but others are better and enough", hint: "nothing is wrong" },
  "seed-not-sharing": {
    says: "the seed is set not to give anything to others",
    hint: "set p2p.daemon.share on the seed, or run it without --seed",
  },
  "seed-silent": { says: "the seed does not answer the scheduler", hint: "see whether its daemon runs (`anax doctor` on the seed)" },
  "seed-troubled": {
    says: "the seed failed an order lately, whatever the task",
    hint: "wait until the time named; the scheduler's log says why (scheduler.seed-order-failed); p2p.scheduler.seedTroubleMs is how long",
  },
  "seed-failed-task": {
    says: "the seed failed at this task lately",
    hint: "`anax explain` on the seed says why; it is asked again after the time named",
  },
  "seed-downloads": { says: "the seed asks for the content itself", hint: "nothing: it is the first to be sent to the source" },
  "disk-full": {
    says: "its disk is full",
    hint: "free space there (`anax gc --free SIZE`), or give it a smaller p2p.pieces.quotaBytes; p2p.scheduler.diskFullPercent is the limit",
  },
  "may-not-read": {
    says: "its download may not read the source",
    hint: "repeat it without --disable-back-to-source if it may",
  },
};

/** Why a parent is blocked for a child. */
export const BLOCKS: Readonly<Record<BlockReason, string>> = {
  damaged: "pieces from it arrived damaged",
  unreachable: "it could not be reached",
  "too-slow": "nothing came from it in time",
  malformed: "it sent what makes no sense",
  "piece-failed": "a piece could not be had from it",
  "given-up": "it was given up as useless",
};

export const SILENCES: Readonly<Record<SilentBecause, string>> = {
  "no-heartbeat": "no heartbeat",
  "stream-ended": "its connection to the scheduler broke",
  "announcement-overdue": "its announcement is overdue",
};

/** What was overlooked because there was nobody else, in the order in which it is. */
export const RELAXED: Readonly<Record<Relaxation, string>> = {
  none: "",
  blocks: "blocks that had lasted a while were overlooked",
  busy: "blocks that had lasted a while were overlooked, and that a parent is busy",
};

/** Why somebody was sent to the source. */
export const TO_SOURCE: Readonly<Record<SourceBecause, Advice>> = {
  first: { says: "nobody had the content or was reading it", hint: "nothing is wrong: somebody has to be the first" },
  "reader-lost": { says: "the peer that was reading it was lost", hint: "nothing: what others have by now is not read again" },
  "no-parent-reachable": {
    says: "it could reach no peer that has the content",
    hint: "see whether this host reaches the others' ports for peers and for pieces (`anax doctor`, firewalls)",
  },
  "asked-for": { says: "it asked for that", hint: "nothing: it is a seed with an order, or was told to read the source" },
  part: { says: "others read a part each, as one would hold all up", hint: "nothing; p2p.scheduler.sourceShareMax bounds how many" },
};

/** Why somebody that waits may not read the source now. */
export const DENIALS: Readonly<Record<SourceDenial, Advice>> = {
  "seed-ordered": {
    says: "a seed was ordered to read the source for all",
    hint: "wait: another is asked when it does not come in p2p.scheduler.seedTriggerTimeoutMs",
  },
  "others-read": {
    says: "as many peers as may read this source already do",
    hint: "wait for them; p2p.scheduler.sourceReadersMax is how many",
  },
  settling: { says: "the scheduler has just started, and hosts are still telling what they have", hint: "wait p2p.scheduler.settleMs" },
  "not-allowed": {
    says: "this download may not read the source",
    hint: "repeat it without --disable-back-to-source, or bring the content to some host first",
  },
  "rescues-taken": {
    says: "another that reaches nobody reads the source already",
    hint: "wait for it; p2p.scheduler.rescueReadersMax is how many may",
  },
  "task-budget": { says: "p2p.scheduler.backToSourceCount peers of this task read its source", hint: "wait, or raise that setting" },
  "cluster-budget": {
    says: "as many peers as may read sources at once, of all tasks, do",
    hint: "wait: tasks are let through in the order in which they came; p2p.scheduler.sourceReadersClusterMax is how many",
  },
  "origin-budget": {
    says: "as many peers as may read from this origin at once do",
    hint: "wait: tasks are let through in the order in which they came; p2p.scheduler.sourceReadersOriginMax is how many",
  },
};

/** Why a daemon read the source; each completes "because …". */
export const READS: Readonly<Record<SourceReason, Advice>> = {
  "told-to": { says: "it was ordered to, as the seed that reads for the others", hint: "" },
  "scheduler-says": { says: "the scheduler chose it as the one that reads the source", hint: "" },
  "no-scheduler": { says: "no scheduler could be reached", hint: "see p2p.daemon.schedulers, and whether one runs there (`anax doctor`)" },
  "scheduler-silent": {
    says: "the scheduler did not answer in time",
    hint: "see the scheduler's load and log; p2p.daemon.decisionMs is how long a daemon waits",
  },
  "scheduler-refused": { says: "the scheduler refused to help with this task", hint: "see scheduler.lost below for its error" },
  "parents-useless": {
    says: "no peer that the scheduler offered could deliver",
    hint: "see piece.failed below for what each of them did; a firewall on the port for pieces looks so",
  },
};

/** What a decision was, after the host's name. */
export const KINDS: Readonly<Record<DecisionKind, string>> = {
  parents: "was given others to fetch from",
  wait: "waits, as nobody could be offered",
  source: "was sent to the source",
  "source-denied": "may not read the source now",
  seed: "a seed was ordered to read the source",
  "seed-denied": "no seed could be ordered",
  empty: "was told that the content is empty",
  "metadata-only": "was told no more than it knows",
  failed: "was told to give up",
};

const FAILURES: Readonly<Partial<Record<ErrorCode, string>>> = {
  "download.deadline": "give it more time (--timeout), or see below what it waited for",
  "download.forbidden": "downloads of priority 1 are never served; ask with another (--priority)",
  "download.no-source": "bring the content to some host first, or allow this download to read the source",
  "download.cancelled": "nobody wanted it any more: whoever asked went away",
  "task.not-found": "no peer has it, and priority 2 does not fetch; ask with another (--priority)",
  "task.digest-mismatch": "the source gave other bytes than the digest promises: check the digest, then the source",
  "piece.digest-mismatch": "see whose piece it was: its disk or memory damages data",
  "source.not-found": "check the URL; all who wait were told, so that the source is not asked again by each",
  "source.unauthorized": "pass credentials (--header); those of others were not tried in place of these",
  "source.forbidden": "these credentials may not read it; ask with others (--header)",
  "source.bad-status": "see what the source answered, below; several readers in a row failed (p2p.scheduler.sourceFailuresMax)",
  "source.unreachable": "see whether this host and the seeds reach the source: name, route, certificate, proxy",
  "source.denied": "the address policy forbids this source; p2p.source has what may be asked",
  "disk.full": "free space (`anax gc --free SIZE`), or raise p2p.pieces.quotaBytes",
  "limit.exceeded": "see which limit, in the error: each is a setting",
};

/** Of codes without a hint of their own. */
const FAMILIES: Readonly<Record<string, string>> = {
  config: "correct the setting that is named; `anax config --validate` checks them all",
  daemon: "see whether a daemon runs here, and as whom (`anax doctor`)",
  disk: "see the system's log for the disk of p2p.pieces; `anax doctor` tries it",
  download: "repeat it, and see below what happened",
  host: "the host announces itself again within seconds; else see its log",
  input: "correct what is named, and repeat it",
  internal: "this is a fault of Anax's own: report it with the log",
  limit: "see which limit, in the error: each is a setting",
  listen: "see who else uses the address, or choose another",
  memory: "let fewer downloads run at once here, or raise p2p.memory.maxBytes; what waits is `anax_memory_waiting`",
  migration: "the move of slots tries again by itself; see whether both nodes are of one version",
  output: "choose another output path, or allow it to be replaced (--overwrite)",
  peer: "the scheduler has forgotten it, or never knew it; it registers again by itself",
  piece: "the piece is asked of others by itself",
  proxy: "see how the client is set to use the proxy",
  register: "see whether the engine that the register's URL names runs, is reached and durable",
  rpc: "see whether the other side runs and is reached (`anax doctor`); it is tried again where that can help",
  runtime: "run it with the Node that the package brings",
  socket: "see whether the other side runs; it is tried again by itself",
  source: "see what the source answered, below",
  task: "see what happened to the task, below",
  volume: "see the volume's state (`anax volume info`) and who has it mounted",
  vortex: "see which program answers there: it may be no Dragonfly peer, or one of another version",
};

/** What an error code means, and what to do. */
export function failureAdvice(code: string): Advice {
  const known = Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : undefined;
  const hint = (known === undefined ? undefined : FAILURES[known]) ?? FAMILIES[code.split(".")[0] ?? ""] ?? "";
  return { says: known === undefined ? code : ERRORS[known].text, hint };
}
