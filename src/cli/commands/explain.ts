import { Command } from "commander";
import { formatBytes } from "../../base/units.ts";
import type { Event } from "../../wire/grpc/gen/anax/v1/common.ts";
import { DaemonService, type ExplainDaemonResponse } from "../../wire/grpc/gen/anax/v1/daemon.ts";
import { CALL_TIMEOUT_MS, withDaemon, withEndpoint, type EndpointOptions } from "../connect.ts";
import { reasonOf } from "../explain/reason.ts";
import { printJson, printLine } from "../output.ts";
import { printTable } from "../table.ts";
import { findTask, isoOf, percentOf, taskJsonOf } from "../tasks.ts";

export function command(): Command {
  return withEndpoint(new Command("explain"))
    .description(
      "Say why a task came from where it came from: what the scheduler offered, what was rejected by which rule, what happened here.",
    )
    .argument("<task>", "task id or the beginning of one, URL or digest")
    .option("--json", "one JSON object")
    .action(async (text: string, options: EndpointOptions & { readonly json?: boolean }) => {
      const answer = await withDaemon(options, async (daemon) => {
        const taskId = /^[0-9a-f]{64}$/.test(text) ? text : (await findTask(daemon, text)).taskId;
        return daemon.channel.unary(DaemonService.explain, { taskId }, { timeoutMs: CALL_TIMEOUT_MS });
      });
      if (options.json === true) return printJson(jsonOf(answer));
      show(answer);
    });
}

function jsonOf(answer: ExplainDaemonResponse): unknown {
  return {
    reason: reasonOf(answer),
    local: answer.local === undefined ? undefined : taskJsonOf(answer.local),
    events: answer.events.map(eventJsonOf),
    scheduler: answer.scheduler === undefined ? undefined : { ...answer.scheduler, events: answer.scheduler.events.map(eventJsonOf) },
    schedulerError: answer.schedulerError || undefined,
  };
}

const eventJsonOf = ({ at, ...event }: Event) => ({ at: isoOf(at), ...event });

function show(answer: ExplainDaemonResponse): void {
  const { local, scheduler } = answer;
  if (local !== undefined) {
    printLine(`${local.taskId}  ${local.url}`);
    printLine(
      `here: ${local.state}, ${percentOf(local)} held, ${formatBytes(local.bytesFromPeers)} from peers, ${formatBytes(local.bytesFromSource)} from the source`,
    );
  }
  const reason = reasonOf(answer);
  if (reason !== undefined) printLine(`why:  ${reason}`);
  showEvents("What happened here", answer.events);
  if (scheduler?.task !== undefined) {
    const { task, peers } = scheduler;
    printLine(`\nScheduler ${scheduler.schedulerId}: task ${task.state}, ${peers.length} peers, ${task.sourceReaders} reading the source`);
    printTable(
      ["HOST", "STATE", "PIECES", "PARENTS", "LAST DECISION", "REJECTED FOR IT"],
      peers.map((peer) => [
        `${peer.hostname}${peer.seed ? " (seed)" : ""}`,
        peer.waiting ? `${peer.state}, waiting` : peer.state,
        String(peer.finishedPieces),
        String(peer.parents.length),
        peer.lastDecision || "-",
        peer.rejections.map(({ rule, count }) => `${rule} ${count}`).join(", ") || "-",
      ]),
      [2, 3],
    );
    showEvents("What the scheduler did", scheduler.events);
  } else if (answer.schedulerError !== "") printLine(`\nThe scheduler says nothing: ${answer.schedulerError}`);
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
