import { Command } from "commander";
import { AnaxError } from "../../base/errors.ts";
import { formatBytes } from "../../base/units.ts";
import { taskIdOf } from "../../p2p/model/ids.ts";
import type { Event } from "../../wire/grpc/gen/anax/v1/common.ts";
import { DaemonService, type ExplainDaemonResponse } from "../../wire/grpc/gen/anax/v1/daemon.ts";
import type { Decision, ExplainTaskResponse } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import { CALL_TIMEOUT_MS, withDaemon, withEndpoint, type EndpointOptions, type LocalDaemon } from "../connect.ts";
import { nextStepOf, reasonOf } from "../explain/reason.ts";
import { decisionLines, denialLine, peersToShow } from "../explain/words.ts";
import { printJson, printLine } from "../output.ts";
import { printTable } from "../table.ts";
import { findTask, isoOf, percentOf, taskJsonOf } from "../tasks.ts";

interface ExplainOptions extends EndpointOptions {
  readonly json?: boolean;
  readonly peer?: string;
}

/** Peers whose decisions are told in words where nobody is named. */
const PEERS_SHOWN_MAX = 4;

export function command(): Command {
  return withEndpoint(new Command("explain"))
    .description(
      "Say why a task came from where it came from: what the scheduler offered, what was rejected by which rule, what happened here, and what to do about it.",
    )
    .argument("<task>", "task id or the beginning of one, URL or digest")
    .option("--peer <id>", "only this peer: the beginning of a peer id, host id or host name")
    .option("--json", "one JSON object")
    .action(async (text: string, options: ExplainOptions) => {
      const { peer = "" } = options;
      const answer = await withDaemon(options, async (daemon) =>
        daemon.channel.unary(DaemonService.explain, { taskId: await taskIdFor(daemon, text), peer }, { timeoutMs: CALL_TIMEOUT_MS }),
      );
      if (options.json === true) return printJson(jsonOf(answer));
      show(answer, peer);
    });
}

/** A task of which nothing is here, since it waits or failed, is found by its URL alone. */
async function taskIdFor(daemon: LocalDaemon, text: string): Promise<string> {
  if (/^[0-9a-f]{64}$/.test(text)) return text;
  try {
    return (await findTask(daemon, text)).taskId;
  } catch (thrown) {
    if (thrown instanceof AnaxError && thrown.code === "task.not-found" && URL.canParse(text)) return taskIdOf({ url: text });
    throw thrown;
  }
}

function jsonOf(answer: ExplainDaemonResponse): unknown {
  return {
    reason: reasonOf(answer),
    next: nextStepOf(answer),
    ownPeerId: answer.ownPeerId || undefined,
    local: answer.local === undefined ? undefined : taskJsonOf(answer.local),
    events: answer.events.map(eventJsonOf),
    scheduler: answer.scheduler === undefined ? undefined : schedulerJsonOf(answer.scheduler),
    schedulerError: answer.schedulerError || undefined,
  };
}

const eventJsonOf = ({ at, ...event }: Event) => ({ at: isoOf(at), ...event });

const schedulerJsonOf = (scheduler: ExplainTaskResponse) => ({
  ...scheduler,
  events: scheduler.events.map(eventJsonOf),
  decisions: scheduler.decisions.map(decisionJsonOf),
});

const decisionJsonOf = ({ at, rejected, ...decision }: Decision) => ({
  at: isoOf(at),
  ...decision,
  rejected: rejected.map(({ since, until, ...one }) => ({ ...one, since: isoOf(since), until: isoOf(until) })),
});

function show(answer: ExplainDaemonResponse, peer: string): void {
  const { local, scheduler } = answer;
  if (local !== undefined) {
    printLine(`${local.taskId}  ${local.url}`);
    printLine(
      `here: ${local.state}, ${percentOf(local)} held, ${formatBytes(local.bytesFromPeers)} from peers, ${formatBytes(local.bytesFromSource)} from the source`,
    );
  }
  const reason = reasonOf(answer);
  if (reason !== undefined) printLine(`why:  ${reason}`);
  const next = nextStepOf(answer);
  if (next !== undefined) printLine(`next: ${next}`);
  showEvents("What happened here", answer.events);
  if (scheduler?.task !== undefined) showScheduler(scheduler, answer.ownPeerId, peer);
  else if (answer.schedulerError !== "") printLine(`\nThe scheduler says nothing: ${answer.schedulerError}`);
}

function showScheduler(scheduler: ExplainTaskResponse, ownPeerId: string, peer: string): void {
  const { task, peers, decisions } = scheduler;
  if (task === undefined) return;
  printLine(`\nScheduler ${scheduler.schedulerId}: task ${task.state}, ${task.peerCount} peers, ${task.sourceReaders} reading the source`);
  printTable(
    ["HOST", "STATE", "PIECES", "PARENTS", "LAST DECISION", "REJECTED FOR IT"],
    peers.map((one) => [
      `${one.hostname}${one.seed ? " (seed)" : ""}`,
      one.waiting ? `${one.state}, waiting` : one.state,
      String(one.finishedPieces),
      String(one.parents.length),
      one.lastDecision || "-",
      one.rejections.map(({ rule, count }) => `${rule} ${count}`).join(", ") || "-",
    ]),
    [2, 3],
  );
  showDecisions(
    "What was decided for the task",
    decisions.filter(({ peerId }) => peerId === ""),
  );
  for (const one of peer === "" ? peersToShow(scheduler, ownPeerId, PEERS_SHOWN_MAX) : peers.slice(0, PEERS_SHOWN_MAX)) {
    const whose = one.peerId === ownPeerId ? "this host" : one.hostname;
    showDecisions(
      `What was decided for ${whose} (${one.peerId})`,
      decisions.filter(({ peerId }) => peerId === one.peerId),
    );
    const denial = denialLine(one, task.sourceQueuePlace);
    if (denial !== undefined) printLine(`  ${denial}`);
  }
  showEvents("What the scheduler did", scheduler.events);
}

function showDecisions(title: string, decisions: readonly Decision[]): void {
  if (decisions.length === 0) return;
  printLine(`\n${title}:`);
  for (const line of decisionLines(decisions)) printLine(line);
}

function showEvents(title: string, events: readonly Event[]): void {
  if (events.length === 0) return;
  printLine(`\n${title}:`);
  for (const { at, peerId, event, fields } of events) {
    const facts = Object.entries(fields).map(([name, value]) => `${name}=${value}`);
    printLine(
      `  ${isoOf(at)?.slice(11, 23) ?? ""}  ${event.padEnd(28)} ${[peerId === "" ? undefined : `peer=${peerId}`, ...facts].filter(Boolean).join(" ")}`,
    );
  }
}
