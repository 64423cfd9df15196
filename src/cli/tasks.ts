import { isoText } from "../base/clock.ts";
import { AnaxError } from "../base/errors.ts";
import { DaemonService, type LocalTask } from "../wire/grpc/gen/anax/v1/daemon.ts";
import { CALL_TIMEOUT_MS, withDaemon, type EndpointOptions, type LocalDaemon } from "./connect.ts";
import { printJson, printLine } from "./output.ts";

/** Every task on this machine, the last used first. */
export async function listTasks(daemon: LocalDaemon): Promise<readonly LocalTask[]> {
  const tasks: LocalTask[] = [];
  const signal = new AbortController().signal;
  for await (const task of daemon.channel.serverStream(DaemonService.listTasks, {}, { signal, timeoutMs: CALL_TIMEOUT_MS }))
    tasks.push(task);
  return tasks.toSorted((a, b) => usedAt(b) - usedAt(a));
}

const usedAt = (task: LocalTask): number => task.accessedAt?.seconds ?? 0;

/** The task that a person means by an id, the beginning of one, or a URL. Throws `task.not-found`, `input.invalid` when several fit. */
export async function findTask(daemon: LocalDaemon, text: string): Promise<LocalTask> {
  const tasks = await listTasks(daemon);
  const fitting = tasks.filter((task) => task.taskId.startsWith(text) || task.url === text || task.digest === text);
  if (fitting.length > 1)
    throw new AnaxError("input.invalid", { task: text, reason: "several tasks fit", tasks: fitting.map((task) => task.taskId) });
  const [found] = fitting;
  if (found === undefined) throw new AnaxError("task.not-found", { task: text, hint: "anax ls shows what is here" });
  return found;
}

/** Does the same to each task that a person names, and prints what became of it. */
export async function changeEach(
  texts: readonly string[],
  options: EndpointOptions & { readonly json?: boolean },
  {
    change,
    lineOf,
  }: { readonly change: (daemon: LocalDaemon, taskId: string) => Promise<LocalTask>; readonly lineOf: (task: LocalTask) => string },
): Promise<void> {
  await withDaemon(options, async (daemon) => {
    for (const { taskId } of await Promise.all(texts.map((text) => findTask(daemon, text)))) {
      const task = await change(daemon, taskId);
      if (options.json === true) printJson(taskJsonOf(task));
      else printLine(lineOf(task));
    }
  });
}

/** Undefined: it is not pinned. */
export function pinTextOf({ pinned, pinnedUntil }: LocalTask): string | undefined {
  return pinned ? `pinned ${pinnedUntil === undefined ? "until it is unpinned" : `until ${isoOf(pinnedUntil)}`}` : undefined;
}

export function percentOf(task: LocalTask): string {
  if (task.pieceCount === 0) return task.state === "finished" ? "100%" : "-";
  return `${Math.floor((task.finishedPieceCount / task.pieceCount) * 100)}%`;
}

/** A task as `--json` shows it: times as ISO text, absent facts left out. */
export function taskJsonOf(task: LocalTask): Readonly<Record<string, unknown>> {
  const { createdAt, accessedAt, finishedAt, pinnedUntil, ...rest } = task;
  const times = { createdAt: isoOf(createdAt), accessedAt: isoOf(accessedAt), finishedAt: isoOf(finishedAt) };
  return { ...rest, ...times, pinnedUntil: isoOf(pinnedUntil) };
}

export function isoOf(at: { readonly seconds: number; readonly nanos: number } | undefined): string | undefined {
  return at === undefined ? undefined : isoText(at.seconds * 1000 + at.nanos / 1e6);
}
