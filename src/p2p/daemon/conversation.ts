import type { Clock } from "../../base/clock.ts";
import { type AnaxError, errorOf } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { backoffMs } from "../../base/retry.ts";
import type { PeerId, TaskId } from "../model/ids.ts";
import type { AnnounceOptions, Announcement, Decision, Report } from "./announcement.ts";
import type { DaemonConfig } from "./config.ts";
import { orAborted } from "./linked-signal.ts";
import type { SourceReading } from "../model/types.ts";

/** What a download asks of the schedulers. */
export interface Announcer {
  announce(task: TaskId, peer: PeerId, options: AnnounceOptions): Promise<Announcement | undefined>;
  changed(task: TaskId): void;
}

export interface ConversationOptions {
  readonly schedulers: Announcer;
  readonly taskId: TaskId;
  readonly peerId: PeerId;
  readonly clock: Clock;
  readonly random: Random;
  readonly config: Pick<DaemonConfig, "schedulerReturnMs" | "decisionMs">;
  /** Ends every wait of the download. */
  readonly signal: AbortSignal;
  readonly sourceReading: () => SourceReading | undefined;
  /** What a new stream begins with; undefined when this scheduler cannot place the download, which goes on without one. */
  readonly introduce: (announcement: Announcement) => Promise<readonly Report[] | undefined>;
  readonly onDecision: (decision: Decision) => void;
  readonly onLost: (why: "unreachable" | "silent" | "broken") => void;
  readonly onRefused: (error: AnaxError) => void;
  readonly tell: (event: string, fields: Readonly<Record<string, string>>) => void;
}

const BACKOFF = { attemptsMax: Infinity, firstMs: 300, maxMs: 5000 };
const FAREWELL_MS = 2000;

/** What the end of a connection looks like; any other error is an answer. */
const BROKEN: ReadonlySet<string> = new Set([
  "rpc.aborted",
  "rpc.cancelled",
  "rpc.deadline-exceeded",
  "rpc.internal",
  "rpc.unavailable",
  "rpc.unknown",
]);

/** A download's talk with its scheduler, over one stream after the other when they break. It outlives the work, so that the last report arrives. */
export class Conversation {
  readonly #options: ConversationOptions;
  readonly #talk = new AbortController();
  #announcement: Announcement | undefined;
  /** Ends when the scheduler has closed the stream, which is after the last report. */
  #heard: Promise<void> = Promise.resolve();
  #opening = false;
  /** A scheduler takes reports only of what it was introduced to. */
  #introduced = false;
  #over = false;

  constructor(options: ConversationOptions) {
    this.#options = options;
  }

  /** none: nobody listens and nobody will; opening: somebody may. */
  get state(): "none" | "opening" | "open" {
    return this.#opening ? "opening" : this.#announcement === undefined ? "none" : "open";
  }

  /** Registers; `attempt` 1 is the first time, later ones wait for a scheduler to come back. */
  async open(attempt: number): Promise<void> {
    const { schedulers, taskId, peerId, clock, random, config, signal, sourceReading, introduce, onLost, tell } = this.#options;
    this.#opening = true;
    try {
      if (attempt > 1) await clock.sleep(backoffMs(attempt - 1, BACKOFF, random), signal);
      const announcement = await schedulers.announce(taskId, peerId, {
        signal: this.#talk.signal,
        waitSignal: signal,
        sourceReading,
        waitMs: attempt > 1 ? config.schedulerReturnMs : undefined,
      });
      if (announcement === undefined) return onLost("unreachable");
      this.#announcement = announcement;
      const introduction = await introduce(announcement);
      if (introduction === undefined) return this.#drop(announcement);
      for (const report of introduction) announcement.send(report);
      this.#introduced = true;
      tell("scheduler.registered", { scheduler: announcement.scheduler });
      this.#heard = this.#hear(announcement);
    } finally {
      this.#opening = false;
    }
  }

  /** A scheduler of ours hears of pieces that arrived by the heartbeats of this host, all at once. */
  say(report: Report): void {
    if (!this.#introduced || (this.#announcement?.ours === true && isOfPiece(report))) return;
    this.#announcement?.send(this.#announcement.ours ? report : asOthersKnowIt(report));
  }

  /** The work is over: what is heard from now on changes nothing. */
  end(): void {
    this.#over = true;
  }

  /** Leaves without a word. */
  abandon(reason: Error): void {
    this.#talk.abort(reason);
  }

  /** After the last report: lets the scheduler close the stream, for a while. */
  async farewell(): Promise<void> {
    const announcement = this.#announcement;
    if (announcement === undefined) return;
    announcement.close();
    using deadline = this.#options.clock.deadline(FAREWELL_MS, this.#talk.signal);
    await orAborted(this.#heard, deadline.signal).catch(() => undefined);
    announcement[Symbol.dispose]();
  }

  async #hear(announcement: Announcement): Promise<void> {
    const { clock, config, onDecision, onLost } = this.#options;
    const wait = (): Disposable =>
      clock.timer(config.decisionMs, () => {
        if (!this.#over) onLost("silent");
      });
    let silent = wait();
    try {
      for await (const decision of announcement.decisions) {
        silent[Symbol.dispose]();
        if (decision.kind === "wait") silent = wait();
        if (!this.#over) onDecision(decision);
      }
      this.#lost(announcement, undefined);
    } catch (thrown) {
      this.#lost(announcement, errorOf(thrown));
    } finally {
      silent[Symbol.dispose]();
    }
  }

  #lost(announcement: Announcement, error: AnaxError | undefined): void {
    const { onLost, onRefused, tell } = this.#options;
    if (this.#over) return;
    this.#drop(announcement);
    tell("scheduler.lost", error === undefined ? {} : { code: error.code, reason: error.message });
    if (error === undefined || BROKEN.has(error.code)) onLost("broken");
    else onRefused(error);
  }

  #drop(announcement: Announcement): void {
    announcement[Symbol.dispose]();
    this.#announcement = undefined;
    this.#introduced = false;
  }
}

/** Without what we added to it. */
const asOthersKnowIt = (report: Report): Report =>
  report.$case === "downloadPieceFailedRequest" ? { ...report, value: { ...report.value, code: "" } } : report;

const isOfPiece = ({ $case }: Report): boolean =>
  $case === "downloadPieceFinishedRequest" || $case === "downloadPieceBackToSourceFinishedRequest";
