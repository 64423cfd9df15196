import type { TaskId } from "../model/ids.ts";
import type { TaskEvent } from "./types.ts";

/** What happened to the tasks of this machine, for `anax explain`. Bounded: old events of a task and old tasks fall out. */
export class TaskStories {
  readonly #byTask = new Map<TaskId, TaskEvent[]>();
  readonly #wallMs: () => number;
  readonly #tasksMax: number;
  readonly #eventsMax: number;

  constructor(options: { readonly wallMs: () => number; readonly tasksMax?: number; readonly eventsMax?: number }) {
    this.#wallMs = options.wallMs;
    this.#tasksMax = options.tasksMax ?? 1000;
    this.#eventsMax = options.eventsMax ?? 200;
  }

  tell(task: TaskId, event: string, fields: Readonly<Record<string, string>> = {}): void {
    const story = this.#byTask.get(task) ?? [];
    this.#byTask.delete(task); // a Map keeps insertion order, so the task told of last is the last to fall out
    this.#byTask.set(task, story);
    story.push({ atMs: this.#wallMs(), event, fields });
    if (story.length > this.#eventsMax) story.splice(1, story.length - this.#eventsMax); // how it began is worth keeping
    const [oldest] = this.#byTask.keys();
    if (this.#byTask.size > this.#tasksMax && oldest !== undefined) this.#byTask.delete(oldest);
  }

  of(task: TaskId): readonly TaskEvent[] {
    return this.#byTask.get(task) ?? [];
  }
}
